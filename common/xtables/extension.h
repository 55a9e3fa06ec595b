// The structs behind the matches and targets of xtables, the same in both stores.
//
// The kernel knows an extension by its name and the revision of its struct; `info` is that struct
// (linux/netfilter/xt_*.h, nf_nat.h), padded with zeros to a multiple of 8 bytes (XT_ALIGN).
// Writing takes the revisions that iptables 1.8 takes, so that its -C and -D find the rule; reading
// takes older ones too.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "inet/address.h"
#include "xtables/rule.h"

namespace cni::xtables {

struct Extension {
  std::string name;
  std::uint8_t revision = 0;
  std::vector<std::byte> info = {};

  friend bool operator==(const Extension&, const Extension&) = default;
};

Extension encode_match(const Match& match);

// The ports of `rule`, which has some, as its match "tcp", "udp" or "sctp".
Extension encode_ports(const Rule& rule);

// Both: the ports, if any, first, then the matches in their order.
std::vector<Extension> encode_matches(const Rule& rule);

// Nothing for a verdict: accept, drop, return and jump are no extensions.
std::optional<Extension> encode_target(inet::Family family, const Target& target);

// Adds to `rule` what the match says: a match, or its ports if the match is of its protocol, which
// therefore has to be known before. False, and `rule` as it was, if the model has no words for it.
bool decode_match(std::string_view name, std::uint32_t revision, std::span<const std::byte> info,
                  Rule& rule);

// Nothing if the model has no words for it.
std::optional<Target> decode_target(inet::Family family, std::string_view name,
                                    std::uint32_t revision, std::span<const std::byte> info);

}  // namespace cni::xtables
