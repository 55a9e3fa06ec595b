// An IPv4 or IPv6 address as a value.
#pragma once

#include <array>
#include <compare>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace cni::inet {

enum class Family : std::uint8_t { kIpv4 = 4, kIpv6 = 6 };
inline constexpr std::array kFamilies = {Family::kIpv4, Family::kIpv6};

// "IPv4" or "IPv6".
std::string_view name(Family family);

// 128 bits of arithmetic for both families. GCC and clang have it as an extension.
__extension__ using Bits = unsigned __int128;

class Address {
 public:
  // Reads a dotted quad without leading zeros or an RFC 4291 text without zone. An
  // IPv4-mapped IPv6 address (::ffff:10.1.2.3) is the IPv4 address, as in the reference suite.
  static std::optional<Address> parse(std::string_view text);

  // From the lowest 32 (IPv4) or 128 bits of `bits`.
  static Address from_bits(Family family, Bits bits);

  // From 4 or 16 bytes in network order.
  static Address from_bytes(Family family, const void* bytes);

  Family family() const { return family_; }
  Bits bits() const { return bits_; }

  // 32 or 128.
  int width() const { return family_ == Family::kIpv4 ? 32 : 128; }

  // Network order; the first 4 bytes count for IPv4.
  std::array<std::uint8_t, 16> bytes() const;

  // Dotted quad, or RFC 5952 text in lower case with no dotted tail.
  std::string text() const;

  // Wraps around at the end of the family's space.
  Address next() const { return from_bits(family_, bits_ + 1); }

  bool is_unspecified() const { return bits_ == 0; }
  bool is_loopback() const;
  bool is_multicast() const;
  bool is_link_local() const;

  // IPv4 sorts before IPv6.
  friend auto operator<=>(const Address&, const Address&) = default;

 private:
  Address(Family family, Bits bits) : family_(family), bits_(bits) {}
  Family family_;
  Bits bits_;
};

}  // namespace cni::inet
