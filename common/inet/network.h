// An address with a prefix length: an interface address ("10.1.2.5/24") or, without host bits,
// a network ("10.1.2.0/24").
#pragma once

#include <compare>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "inet/address.h"

namespace cni::inet {

struct Network {
  Address address;
  int prefix_length;

  // Reads "address/length" and keeps host bits. A bare address is nothing.
  static std::optional<Network> parse(std::string_view text);

  // `address` with the full prefix length of its family.
  static Network host(const Address& address) { return {address, address.width()}; }

  Family family() const { return address.family(); }

  // "address/length", host bits as they are.
  std::string text() const;

  // The first address: all host bits zero.
  Address first() const;
  // The last address: all host bits one.
  Address last() const;
  // Without host bits.
  Network masked() const { return {first(), prefix_length}; }

  bool contains(const Address& other) const;
  bool overlaps(const Network& other) const;

  friend auto operator<=>(const Network&, const Network&) = default;
};

// Those of one family, in their order.
std::vector<Network> of_family(const std::vector<Network>& networks, Family family);

// 0.0.0.0/0 or ::/0.
Network default_network(Family family);

}  // namespace cni::inet
