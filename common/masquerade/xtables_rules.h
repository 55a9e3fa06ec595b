// Masquerading in words of xtables, as the reference suite writes it where it has the words.
//
//   table nat
//   POSTROUTING    -s <address>                -j CNI-<digest>     one per address
//   CNI-<digest>   -d <subnet>                 -j ACCEPT           one per subnet
//                  -d <nonMasqueradeCIDR>      -j ACCEPT
//                ! -d <multicast>              -j MASQUERADE
//
// With outInterfaces there is one MASQUERADE for each; with masqueradeCIDRs these stand in place of
// "all but multicast". All have the comment `name: "<network>" id: "<container ID>"`.
//
// The interfaces that one container has in one network share the chain. The rules of all but the
// first are told apart by a last rule that does nothing:
//
//   CNI-<digest>   -s <address> -m comment --comment <above> if: "<interface>"   -j RETURN
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "inet/network.h"
#include "masquerade/config.h"
#include "netfilter/owner.h"
#include "xtables/rule.h"
#include "xtables/table.h"

namespace cni::masquerade {

// "CNI-" and 24 digits of network and container ID.
std::string chain_name(const std::string& network, const std::string& container_id);
bool is_chain_name(const std::string& chain);

// Cut at 255 bytes, which is what the kernel takes.
std::string comment(const std::string& network, const std::string& container_id);
// How the comments of all containers of a network begin.
std::string comment_prefix(const std::string& network);

// Rules of an attachment. `addresses` and what of the configuration matters are of one family.
xtables::Rule jump_rule(const netfilter::Owner& owner, const inet::Address& address);
std::vector<xtables::Rule> accept_rules(const netfilter::Owner& owner,
                                        const std::vector<inet::Network>& addresses,
                                        const Config& config);
std::vector<xtables::Rule> translation_rules(const netfilter::Owner& owner, inet::Family family,
                                             const Config& config);
xtables::Rule interface_mark(const netfilter::Owner& owner, const inet::Address& address);

// Table nat of one family, with what one attachment adds to it or leaves in it.
void add_to(xtables::Table& table, const netfilter::Owner& owner,
            const std::vector<inet::Network>& addresses, const Config& config);

// `hint` are addresses that the attachment may have had; see remove().
void remove_from(xtables::Table& table, const netfilter::Owner& owner,
                 const std::vector<inet::Network>& hint);

// Removes what is of `network` and of none of `valid`.
void collect_from(xtables::Table& table, const std::string& network,
                  const std::vector<netfilter::Owner>& valid);

// Whether there may be something for remove_from or, without `chain`, collect_from to do.
bool concerns(const xtables::Table& table, const std::optional<std::string>& chain);

// What is missing, one sentence each.
std::vector<std::string> differences_from(const xtables::Table& table,
                                          const netfilter::Owner& owner,
                                          const std::vector<inet::Network>& addresses,
                                          const Config& config);

}  // namespace cni::masquerade
