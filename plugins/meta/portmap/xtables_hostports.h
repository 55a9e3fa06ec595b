// Host ports as rules of xtables, with the chains, comments and order of the reference suite, so
// that it can check and delete them. All is in table nat; nothing here commits.
//
//   PREROUTING, OUTPUT -- to an address of the host --> CNI-HOSTPORT-DNAT
//     CNI-HOSTPORT-DNAT -- the ports of a container, and its conditions --> CNI-DN-...
//       CNI-DN-... -- from nearby --> CNI-HOSTPORT-SETMARK   sets the mark
//       CNI-DN-...    DNAT to the container
//   POSTROUTING --> CNI-HOSTPORT-MASQ   masquerades what has the mark
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "chain_shares.h"
#include "config.h"
#include "mapping.h"
#include "xtables/table.h"

namespace cni::portmap {

// From where portmap jumps to a chain: what all containers share, and of theirs each.
std::vector<std::string> origins_of(const std::string& chain);

// The first rule of POSTROUTING, from all containers.
xtables::Rule masquerade_jump();

// The rules of one container in one family.
struct ContainerRules {
  struct Placed {
    std::string chain;
    xtables::Rule rule;
    bool first = false;  // of its chain, unless its target is jumped to already
  };
  std::vector<std::string> shared_chains;
  std::vector<Placed> shared;  // of all containers, ensured
  std::string chain;
  std::vector<xtables::Rule> own;    // the whole of `chain`
  std::vector<xtables::Rule> entry;  // in CNI-HOSTPORT-DNAT
};

// Pure. Throws json::ValueError if the conditions cannot be said in rules of xtables.
ContainerRules render_rules(const Config& config, inet::Family family, const std::string& network,
                            const std::string& container_id);

// In place of what the container had, but for the rules of its other attachments in that chain.
void apply_rules(xtables::Table& nat, const ContainerRules& rules,
                 const std::vector<ChainShare>& others = {});

// What is missing, one sentence each.
std::vector<std::string> missing_rules(const xtables::Table& nat, const ContainerRules& rules);

// Takes out the chain of a container, all jumps to it, and the shared chains with the last one.
// Returns whether it was there.
bool remove_chain(xtables::Table& nat, const std::string& chain);

// A container that has ports.
struct ChainHolder {
  std::string chain;
  std::string network;       // "" if not known
  std::string container_id;  // "" if not known
  // What jumps to the chain: no port is in it that is not among these. Nothing if there is a jump
  // that cannot be told.
  std::optional<std::vector<Run>> let_in;
  // From the chain itself.
  std::vector<Run> runs;
  std::optional<inet::Address> address;  // of the container
};
// Those for which `condition` holds, which is asked before a chain is read.
std::vector<ChainHolder> chain_holders(const xtables::Table& nat,
                                       const std::function<bool(const ChainHolder&)>& condition);

}  // namespace cni::portmap
