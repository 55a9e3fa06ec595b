#include "localnet_upkeep.h"

#include <algorithm>
#include <array>
#include <set>

#include "foreign_chains.h"
#include "legacy_guard.h"
#include "localnet.h"
#include "reference_hostports.h"

namespace cni::portmap {
namespace {

using inet::Family;

// By attachments that are not in the books.
bool do_strangers_need_localnet(const std::string& interface, Books& books) {
  const auto leads_there = [&](const std::optional<inet::Address>& address) {
    return address && find_interface_to(*address) == interface;
  };
  bool needed = false;
  if (books.socket()) {
    for (const ReferenceHolder& holder : reference_holders(*books.socket(), Family::kIpv4)) {
      needed = needed || leads_there(holder.address);
    }
  }
  if (books.stores().empty()) return needed;
  // One look into the books instead of one into each chain that is in them.
  const auto holdings = books.socket() ? books.list(Family::kIpv4) : std::vector<Holding>();
  const auto all = [](const ChainHolder& /*holder*/) { return true; };
  for (const auto& store : books.stores()) {
    for (const ChainHolder& holder : foreign_chains(*store, Family::kIpv4, holdings, all)) {
      needed = needed || leads_there(holder.address);
    }
  }
  return needed;
}

bool is_on(const Holding& holding, const std::string& interface) {
  return holding.localnet && holding.localnet->interface == interface;
}

// By attachments that are in the books, but not in the plan.
bool do_others_need_localnet(const std::string& interface, const FamilyPlan& v4, Books& books) {
  if (!books.socket()) return false;
  std::vector<netfilter::Owner> planned;
  for (const Holding& one : v4.before) {
    if (is_on(one, interface)) planned.push_back(one.owner);
  }
  NativeHostports hostports = books.of(Family::kIpv4);
  return std::ranges::any_of(std::array{true, false}, [&](bool reset) {
    return hostports.count_localnet({.interface = interface, .reset = reset}, planned) > 0;
  });
}

bool is_localnet_needed(const std::string& interface, const FamilyPlan& v4, Books& books) {
  const auto needs_it = [&](const Holding& one) { return is_on(one, interface); };
  return std::ranges::any_of(v4.after, needs_it) || do_others_need_localnet(interface, v4, books) ||
         do_strangers_need_localnet(interface, books);
}

void settle(const std::set<std::string>& interfaces, const FamilyPlan& v4, Books& books) {
  for (const std::string& interface : interfaces) {
    if (!is_localnet_needed(interface, v4, books)) stop_routing_localnet(interface);
  }
}

}  // namespace

Localnet plan_localnet(const std::string& interface, Books& books) {
  const Localnet ours{.interface = interface, .reset = true};
  const bool is_ours = is_marked(interface) || !is_localnet_routed(interface) ||
                       (books.socket() && books.of(Family::kIpv4).count_localnet(ours, {}) > 0);
  return {.interface = interface, .reset = is_ours};
}

void start_localnet(const Holding& holding, Books& books) {
  if (!holding.localnet) return;
  const auto& [interface, reset] = *holding.localnet;
  if (reset) {
    if (!books.socket()) ensure_guard(*netfilter::open_xtables_store(holding.store), interface);
    mark_localnet(interface);
  }
  route_localnet(interface);
}

void settle_localnet(const FamilyPlan& v4, Books& books) {
  std::set<std::string> interfaces;
  for (const Holding& holding : v4.before) {
    if (holding.localnet && holding.localnet->reset) interfaces.insert(holding.localnet->interface);
  }
  settle(interfaces, v4, books);
}

void settle_marked_localnet(const FamilyPlan& v4, Books& books) {
  const auto marked = marked_interfaces();
  settle({marked.begin(), marked.end()}, v4, books);
}

void settle_lost_localnet(const FamilyPlan& v4, Books& books) {
  if (books.socket() && books.of(Family::kIpv4).has_localnet()) return;
  settle_marked_localnet(v4, books);
}

void settle_guards(Books& books) {
  for (const auto& store : netfilter::existing_xtables_stores()) {
    if (store->kind() != xtables::StoreKind::kLegacy) continue;
    for (const std::string& interface : guarded_interfaces(*store)) {
      if (do_strangers_need_localnet(interface, books)) continue;
      stop_routing_localnet(interface);
      remove_guard(*store, interface);
    }
  }
}

}  // namespace cni::portmap
