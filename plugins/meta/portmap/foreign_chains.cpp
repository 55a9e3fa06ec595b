#include "foreign_chains.h"

#include <algorithm>

#include "chain_names.h"

namespace cni::portmap {

using inet::Family;
using netfilter::StoreChoice;
using xtables::StoreKind;

StoreChoice choice_of(const xtables::Store& store) {
  return store.kind() == StoreKind::kDialect ? StoreChoice::kDialect : StoreChoice::kLegacy;
}

std::vector<std::unique_ptr<xtables::Store>> stores_with_hostports(
    std::optional<nftables::Socket>& socket) {
  auto stores = netfilter::existing_xtables_stores();
  std::erase_if(stores, [&](const std::unique_ptr<xtables::Store>& store) {
    if (store->kind() != StoreKind::kDialect || !socket) return false;
    return std::ranges::none_of(kFamilies, [&](Family family) {
      const nftables::TableId nat{.family = nftables::table_family(family), .name = "nat"};
      return socket->find_chain(nat, kEntryChain).has_value();
    });
  });
  return stores;
}

std::vector<ChainHolder> foreign_chains(const xtables::Table& nat, StoreChoice store,
                                        const std::vector<Holding>& holdings,
                                        const std::function<bool(const ChainHolder&)>& condition) {
  return chain_holders(nat, [&](const ChainHolder& holder) {
    const bool is_ours = std::ranges::any_of(holdings, [&](const Holding& one) {
      return one.chain == holder.chain && one.store == store;
    });
    return !is_ours && condition(holder);
  });
}

std::vector<ChainHolder> foreign_chains(xtables::Store& store, Family family,
                                        const std::vector<Holding>& holdings,
                                        const std::function<bool(const ChainHolder&)>& condition) {
  const auto nat = store.find(family, "nat");
  if (!nat) return {};
  return foreign_chains(*nat, choice_of(store), holdings, condition);
}

}  // namespace cni::portmap
