// Chains of host ports in the stores of xtables rules that nothing is written down about: of the
// reference suite, or from a time without nf_tables.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include "holding.h"
#include "netfilter/choose_store.h"
#include "nftables/nftables_socket.h"
#include "xtables_hostports.h"

namespace cni::portmap {

netfilter::StoreChoice choice_of(const xtables::Store& store);

// The stores of xtables rules in which there are host ports at all. Reading a table takes the
// longer the more rules others have in it.
std::vector<std::unique_ptr<xtables::Store>> stores_with_hostports(
    std::optional<nftables::Socket>& socket);

// Those that none of `holdings` has and for which `condition` holds, see chain_holders().
std::vector<ChainHolder> foreign_chains(const xtables::Table& nat, netfilter::StoreChoice store,
                                        const std::vector<Holding>& holdings,
                                        const std::function<bool(const ChainHolder&)>& condition);
std::vector<ChainHolder> foreign_chains(xtables::Store& store, inet::Family family,
                                        const std::vector<Holding>& holdings,
                                        const std::function<bool(const ChainHolder&)>& condition);

}  // namespace cni::portmap
