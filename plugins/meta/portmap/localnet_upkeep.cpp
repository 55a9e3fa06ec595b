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

bool is_localnet_needed(const std::string& interface, const std::vector<Holding>& holdings,
                        std::optional<nftables::Socket>& socket) {
  if (std::ranges::any_of(holdings, [&](const Holding& one) {
        return one.localnet && one.localnet->interface == interface;
      })) {
    return true;
  }
  const auto leads_there = [&](const std::optional<inet::Address>& address) {
    return address && find_interface_to(*address) == interface;
  };
  bool needed = false;
  if (socket) {
    for (const ReferenceHolder& holder : reference_holders(*socket, Family::kIpv4)) {
      needed = needed || leads_there(holder.address);
    }
  }
  for (const auto& store : stores_with_hostports(socket)) {
    for (const ChainHolder& holder : foreign_chains(*store, Family::kIpv4, holdings)) {
      needed = needed || leads_there(holder.address);
    }
  }
  return needed;
}

}  // namespace

Localnet plan_localnet(const std::string& interface, const std::vector<Holding>& others) {
  const auto marked = marked_interfaces();
  const bool by_us =
      std::ranges::find(marked, interface) != marked.end() ||
      std::ranges::any_of(others, [&](const Holding& one) {
        return one.localnet && one.localnet->interface == interface && one.localnet->reset;
      });
  return {.interface = interface, .reset = by_us || !is_localnet_routed(interface)};
}

void settle_localnet(const FamilyPlan& v4, Books& books) {
  const auto marked = marked_interfaces();
  std::set<std::string> interfaces(marked.begin(), marked.end());
  for (const Holding& holding : v4.before) {
    if (holding.localnet && holding.localnet->reset) interfaces.insert(holding.localnet->interface);
  }
  for (const std::string& interface : interfaces) {
    if (!is_localnet_needed(interface, v4.after, books.socket())) {
      stop_routing_localnet(interface);
    }
  }
}

void settle_guards(Books& books) {
  for (const auto& store : netfilter::existing_xtables_stores()) {
    if (store->kind() != xtables::StoreKind::kLegacy) continue;
    for (const std::string& interface : guarded_interfaces(*store)) {
      if (is_localnet_needed(interface, {}, books.socket())) continue;
      stop_routing_localnet(interface);
      remove_guard(*store, interface);
    }
  }
}

}  // namespace cni::portmap
