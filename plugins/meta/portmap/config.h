// The configuration of the portmap plugin, valid by construction.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "conditions.h"
#include "inet/network.h"
#include "mapping.h"
#include "netfilter/choose_store.h"
#include "protocol/request.h"
#include "protocol/result.h"

namespace cni::portmap {

// What to do if a live attachment has the host port.
enum class ConflictPolicy {
  kError,    // refuse, and say who has it
  kReplace,  // take it
  kShare,    // wait in line until it is free
};

// The conditions of one family, and how they were written.
struct Conditions {
  std::vector<std::string> words = {};
  std::vector<Condition> parsed = {};
};

struct Config {
  netfilter::Backend backend;
  bool snat;
  bool masq_all;  // only with snat
  unsigned mark_bit;
  std::optional<std::string> external_set_mark_chain;
  Conditions v4;
  Conditions v6;
  ConflictPolicy conflict_policy;
  std::vector<Mapping> mappings;
  // Of the container, with the prefix length of its network.
  std::optional<inet::Network> address_v4;
  std::optional<inet::Network> address_v6;

  const Conditions& conditions(inet::Family family) const {
    return family == inet::Family::kIpv4 ? v4 : v6;
  }
  const std::optional<inet::Network>& address(inet::Family family) const {
    return family == inet::Family::kIpv4 ? address_v4 : address_v6;
  }
  // Some sources are let in and others are not.
  bool limits_sources() const;
};

using inet::kFamilies;

// For ADD, CHECK and STATUS; `previous` is what came before in the chain. Throws json::ValueError
// or Error 7.
Config parse_config(const Request& request, const std::optional<Result>& previous);

// The container's address of a family in a result: of its interface, the first one.
std::optional<inet::Network> find_container_address(const Result& result, inet::Family family,
                                                    const std::string& ifname);

}  // namespace cni::portmap
