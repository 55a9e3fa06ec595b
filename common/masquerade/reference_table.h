// What the reference suite's own nftables backend leaves: rules in table inet
// "cni_plugins_masquerade", one per address, whose comment begins with digests of the network and
// of interface and container.
#pragma once

#include <string>
#include <vector>

#include "inet/address.h"
#include "netfilter/owner.h"

namespace cni::masquerade::reference {

// 33 characters: "<digest of the network>-<digest of interface and container>".
std::string identity(const netfilter::Owner& owner);

// Whether the table masquerades `address` for the owner.
bool has(const netfilter::Owner& owner, const inet::Address& address);

void remove(const netfilter::Owner& owner);

// Removes what is of `network` and of none of `valid`.
void collect(const std::string& network, const std::vector<netfilter::Owner>& valid);

}  // namespace cni::masquerade::reference
