#include "localnet_upkeep.h"

#include <algorithm>
#include <set>

#include "foreign_chains.h"
#include "legacy_guard.h"
#include "localnet.h"
#include "reference_hostports.h"

namespace cni::portmap {
namespace {

using inet::Family;

// By attachments that are not in the books.
bool do_strangers_need_localnet(const std::string& interface, const std::vector<Holding>& holdings,
                                Books& books) {
  const auto leads_there = [&](const std::optional<inet::Address>& address) {
    return address && find_interface_to(*address) == interface;
  };
  bool needed = false;
  if (books.socket()) {
    for (const ReferenceHolder& holder : reference_holders(*books.socket(), Family::kIpv4)) {
      needed = needed || leads_there(holder.address);
    }
  }
  for (const auto& store : books.stores()) {
    const auto all = [](const ChainHolder& /*holder*/) { return true; };
    for (const ChainHolder& holder : foreign_chains(*store, Family::kIpv4, holdings, all)) {
      needed = needed || leads_there(holder.address);
    }
  }
  return needed;
}

bool is_localnet_needed(const std::string& interface, const FamilyPlan& v4, Books& books) {
  const auto needs_it = [&](const Holding& one) {
    return one.localnet && one.localnet->interface == interface;
  };
  const auto is_other = [&](const Holding& one) {
    return find_holding(v4.before, one.owner) == nullptr;
  };
  return std::ranges::any_of(v4.after, needs_it) ||
         books.any(Family::kIpv4,
                   [&](const Holding& one) { return needs_it(one) && is_other(one); }) ||
         do_strangers_need_localnet(interface, v4.after, books);
}

}  // namespace

Localnet plan_localnet(const std::string& interface, Books& books) {
  const auto marked = marked_interfaces();
  const bool reset =
      std::ranges::find(marked, interface) != marked.end() || !is_localnet_routed(interface) ||
      books.any(Family::kIpv4, [&](const Holding& one) {
        return one.localnet && one.localnet->interface == interface && one.localnet->reset;
      });
  return {.interface = interface, .reset = reset};
}

void settle_localnet(const FamilyPlan& v4, Books& books) {
  const auto marked = marked_interfaces();
  std::set<std::string> interfaces(marked.begin(), marked.end());
  for (const Holding& holding : v4.before) {
    if (holding.localnet && holding.localnet->reset) interfaces.insert(holding.localnet->interface);
  }
  for (const std::string& interface : interfaces) {
    if (!is_localnet_needed(interface, v4, books)) {
      stop_routing_localnet(interface);
    }
  }
}

void settle_guards(Books& books) {
  for (const auto& store : netfilter::existing_xtables_stores()) {
    if (store->kind() != xtables::StoreKind::kLegacy) continue;
    for (const std::string& interface : guarded_interfaces(*store)) {
      if (do_strangers_need_localnet(interface, {}, books)) continue;
      stop_routing_localnet(interface);
      remove_guard(*store, interface);
    }
  }
}

}  // namespace cni::portmap
