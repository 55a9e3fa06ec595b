// One rule in the words of iptables(8), whatever store it goes to.
//
// Two stores hold such rules, and they do not see each other: the legacy tables of xtables
// (iptables-legacy) and the iptables dialect of nf_tables (iptables-nft). Each encodes this model
// and reads it back; what a foreign rule has beyond it makes the rule "not understood".
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "inet/address.h"
#include "inet/network.h"

namespace cni::xtables {

// -s, -d: the address is masked already.
struct AddressMatch {
  inet::Network network;
  bool inverted = false;

  friend bool operator==(const AddressMatch&, const AddressMatch&) = default;
};

// -i, -o: a name that ends in '+' stands for all that begin so.
struct InterfaceMatch {
  std::string name;
  bool inverted = false;

  friend bool operator==(const InterfaceMatch&, const InterfaceMatch&) = default;
};

// --sport, --dport: both ends included.
struct PortRange {
  std::uint16_t first;
  std::uint16_t last;

  friend bool operator==(const PortRange&, const PortRange&) = default;
};

// What excludes nothing.
inline constexpr PortRange kAllPorts{.first = 0, .last = 0xffff};

// -m comment; at most 255 bytes
struct Comment {
  std::string text;
  friend bool operator==(const Comment&, const Comment&) = default;
};
// -m addrtype --dst-type LOCAL
struct ToLocalAddress {
  friend bool operator==(const ToLocalAddress&, const ToLocalAddress&) = default;
};
// -m multiport --destination-ports; at most 15
struct DestinationPorts {
  std::vector<std::uint16_t> ports;
  friend bool operator==(const DestinationPorts&, const DestinationPorts&) = default;
};
// -m mark --mark value/mask
struct MarkMatch {
  std::uint32_t value;
  std::uint32_t mask;
  friend bool operator==(const MarkMatch&, const MarkMatch&) = default;
};
// -m conntrack --ctstate: bits of XT_CONNTRACK_STATE_* (linux/netfilter/xt_conntrack.h): invalid 1,
// established 2, related 4
struct ConntrackState {
  std::uint16_t states;
  friend bool operator==(const ConntrackState&, const ConntrackState&) = default;
};
using Match = std::variant<Comment, ToLocalAddress, DestinationPorts, MarkMatch, ConntrackState>;

struct Accept {
  friend bool operator==(const Accept&, const Accept&) = default;
};
struct Drop {
  friend bool operator==(const Drop&, const Drop&) = default;
};
struct Return {
  friend bool operator==(const Return&, const Return&) = default;
};
// Longer names of chains do not fit into a target (XT_EXTENSION_MAXNAMELEN with its NUL).
inline constexpr std::size_t kLongestChain = 28;
// -j CHAIN
struct Jump {
  std::string chain;
  friend bool operator==(const Jump&, const Jump&) = default;
};
// -j MARK --set-xmark value/mask
struct SetMark {
  std::uint32_t value;
  std::uint32_t mask;
  friend bool operator==(const SetMark&, const SetMark&) = default;
};
// -j DNAT --to-destination; port 0 keeps the packet's
struct DestinationNat {
  inet::Address address;
  std::uint16_t port;
  friend bool operator==(const DestinationNat&, const DestinationNat&) = default;
};
// -j SNAT --to-source first[-last] [--random-fully] [--persistent]
struct SourceNat {
  inet::Address first;
  inet::Address last;
  bool fully_random = false;
  bool persistent = false;
  friend bool operator==(const SourceNat&, const SourceNat&) = default;
};
// -j MASQUERADE [--random-fully]
struct Masquerade {
  bool fully_random = false;
  friend bool operator==(const Masquerade&, const Masquerade&) = default;
};
using Target =
    std::variant<Accept, Drop, Return, Jump, SetMark, DestinationNat, SourceNat, Masquerade>;

struct Rule {
  std::optional<AddressMatch> source = std::nullopt;
  std::optional<AddressMatch> destination = std::nullopt;
  std::optional<InterfaceMatch> in = std::nullopt;
  std::optional<InterfaceMatch> out = std::nullopt;
  std::uint8_t protocol = 0;  // IPPROTO_*; 0 is any
  // With protocol tcp, udp or sctp only.
  std::optional<PortRange> source_ports = std::nullopt;
  std::optional<PortRange> destination_ports = std::nullopt;
  std::vector<Match> matches = {};  // in the order of the command line
  Target target;

  // The chain it jumps to; empty if it does not.
  std::string jump_target() const;
  // The text of its first comment, empty without one.
  std::string comment() const;

  friend bool operator==(const Rule&, const Rule&) = default;
};

// What no table takes, or would take for something else: throws std::invalid_argument for an
// address of another family, `!` before all addresses, ports without a protocol that has them, and
// names, lists and texts that are empty or too long.
void require_valid(const Rule& rule, inet::Family family);

// Whether both do the same to every packet: the order of matches does not count, nor whether what
// excludes nothing (0.0.0.0/0, all ports) is written down. Comments count.
bool same_meaning(const Rule& one, const Rule& other);

// As iptables-save writes it after "-A <chain> "; for messages and tests.
std::string render(const Rule& rule);

}  // namespace cni::xtables
