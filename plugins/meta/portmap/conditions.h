// conditionsV4 and conditionsV6: what a packet has to be like, beside its destination, for a
// mapping to apply. Written in the words of iptables(8) or of nft(8), one word per element.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "inet/network.h"
#include "json/reader.h"

namespace cni::portmap {

enum class Syntax { kIptables, kNftables };

// All of them have to hold.
struct Condition {
  enum class Field {
    kSource,
    kDestination,
    kInInterface,
    kOutInterface,
    kSourcePort,
    kDestinationPort,
    kMark,
    kComment,  // says something to people only
  };
  Field field;
  bool inverted = false;
  std::vector<inet::Network> networks = {};  // addresses: any of them, without host bits
  std::string interface = {};                // ends in '+' for all that begin so
  std::uint16_t first_port = 0;
  std::uint16_t last_port = 0;
  std::uint32_t mark = 0;
  std::uint32_t mask = 0xffffffff;
  std::string comment = {};

  friend bool operator==(const Condition&, const Condition&) = default;
};

// By the first character of the first word; nothing if there are no conditions.
std::optional<Syntax> syntax_of(const std::vector<std::string>& words);

// Throws json::ValueError at `key` for a word that it does not know: no condition is dropped.
std::vector<Condition> parse_conditions(const json::Reader& key, inet::Family family);
// The same words again, as they were written down at ADD.
std::vector<Condition> parse_conditions(const std::vector<std::string>& words, inet::Family family);

}  // namespace cni::portmap
