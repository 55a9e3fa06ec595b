// Hosts that drop what they forward: a base chain of the hook forward whose policy is drop, as
// Docker and hardened hosts have it. A verdict "accept" holds for one base chain only, so every one
// of them has to accept a packet.
#pragma once

#include <string>
#include <vector>

#include "inet/address.h"
#include "xtables/table.h"

namespace cni::netfilter {

// Whether the chain FORWARD of table filter drops by policy, by one question to nf_tables. False
// where there is none, also on kernels without nf_tables. Throws SystemError.
bool dialect_drops_forwarded(inet::Family family);

// The same for either store; the legacy table is looked at only if it is in use already, and is
// read as a whole.
bool drops_forwarded(xtables::StoreKind store, inet::Family family);

// "chain \"FORWARD\" of table \"ip filter\"", for messages.
std::string describe_forward_chain(xtables::StoreKind store, inet::Family family);

// The base chains of nf_tables at the hook forward that drop by policy, in tables of the families
// ip, ip6 and inet, described as above. Those of the iptables dialect are left out.
std::vector<std::string> find_dropping_native_chains();

}  // namespace cni::netfilter
