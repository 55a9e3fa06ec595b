// One rule in the iptables dialect of nf_tables: the expressions that iptables-nft writes for it.
//
// Interfaces, protocol and addresses come first, then matches in their order, a counter, and the
// target. Ports of tcp and udp and marks are native expressions; the other matches and all targets
// but verdicts are extensions of xtables. One rule that iptables-nft cannot put into its own words
// makes it refuse the whole table, for every user of the host, so nothing else is ever written.
#pragma once

#include <string>

#include "inet/address.h"
#include "nftables/objects.h"
#include "xtables/rule.h"
#include "xtables/table.h"

namespace cni::xtables {

// `rule` has gone through require_valid().
nftables::Rule encode_dialect(inet::Family family, const std::string& table,
                              const std::string& chain, const Rule& rule);

// Reads what iptables-nft of any version writes: ports and marks as extensions, NAT as native
// expressions, a comment as user data of the rule.
StoredRule decode_dialect(inet::Family family, const nftables::Rule& rule);

}  // namespace cni::xtables
