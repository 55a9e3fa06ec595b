// The chain of a container in table nat, which its attachments share: it has the rules of each, one
// group after the other. A group ends in the rule that leads to the attachment's address.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "inet/address.h"
#include "mapping.h"
#include "xtables/table.h"

namespace cni::portmap {

// What one attachment has in the chain.
struct ChainShare {
  inet::Address address;
  std::vector<Run> runs = {};  // for which packets have to get into the chain, of both families
};

// The ports that a rule with DNAT serves; nothing for any other.
std::optional<Run> served_by(const xtables::StoredRule& stored);

// The ports for which a jump lets packets in; nothing if that cannot be told.
std::optional<std::vector<Run>> let_in_by(const xtables::StoredRule& jump);

// Puts `own` where the rules of all but `others` are, or behind those.
void replace_rules(xtables::Table& nat, const std::string& chain,
                   const std::vector<xtables::Rule>& own, const std::vector<ChainShare>& others);

// Takes out all but what `others` have, and with nobody left the chain.
void remove_rules(xtables::Table& nat, const std::string& chain,
                  const std::vector<ChainShare>& others);

// Takes those jumps to the chain out of CNI-HOSTPORT-DNAT that no port of `shares` needs.
void prune_jumps(xtables::Table& nat, const std::string& chain,
                 const std::vector<ChainShare>& shares);

// Takes out what serves ports of `runs` at `address`, or at any. A rule for more ports goes on to
// serve the others.
void take_ports(xtables::Table& nat, const std::string& chain,
                const std::optional<inet::Address>& address, const std::vector<Run>& runs);

}  // namespace cni::portmap
