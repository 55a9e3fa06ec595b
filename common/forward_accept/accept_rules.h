// The rules that let a host with the policy "drop" forward for containers, in table filter of a
// store of xtables rules. They are those of the reference suite's plugin firewall, which knows them
// by their words, so they cannot say whose they are; a chain that no packet passes says that.
//
//   FORWARD            -m comment --comment "CNI firewall plugin rules" -j CNI-FORWARD     first
//   CNI-FORWARD        -m comment --comment "CNI firewall plugin admin overrides" -j CNI-ADMIN
//                      -d <address> -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
//                      -s <address> -j ACCEPT
//   CNI-ADMIN          the operator's
//   CNI-PLUMB-ACCEPT   -s <address> -m comment --comment <owner> -j ACCEPT    one per address
//   CNI-PLUMB-FORWARD  empty; there if CNI-FORWARD and CNI-ADMIN were made together with it
#pragma once

#include <string>
#include <vector>

#include "inet/network.h"
#include "netfilter/owner.h"
#include "xtables/table.h"

namespace cni::forward_accept {

// What there is if anybody's addresses are accepted by us.
inline constexpr const char* kRecords = "CNI-PLUMB-ACCEPT";

// `addresses` are of the table's family, which has a chain FORWARD. What the owner had before goes,
// and an address that was another one's is its own from now on.
void add_to(xtables::Table& table, const netfilter::Owner& owner,
            const std::vector<inet::Network>& addresses);

// By container and interface alone. With the last address go the chains, as far as they are ours
// and nobody else uses them.
void remove_from(xtables::Table& table, const netfilter::Owner& owner);

// Removes what is of `network` and of none of `valid`.
void collect_from(xtables::Table& table, const std::string& network,
                  const std::vector<netfilter::Owner>& valid);

// One sentence for each rule that is missing.
std::vector<std::string> differences_from(const xtables::Table& table,
                                          const netfilter::Owner& owner,
                                          const std::vector<inet::Network>& addresses);

}  // namespace cni::forward_accept
