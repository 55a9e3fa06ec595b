#include "inet/address.h"

#include <arpa/inet.h>
#include <fmt/format.h>

#include <cstring>

namespace cni::inet {
namespace {

constexpr Bits kIpv4Mapped = Bits{0xffff} << 32U;

Bits read_bits(const std::uint8_t* bytes, std::size_t count) {
  Bits bits = 0;
  for (std::size_t at = 0; at < count; ++at) bits = bits << 8U | bytes[at];
  return bits;
}

// RFC 5952: the longest run of two or more zero groups, the first of equals, becomes "::".
std::string ipv6_text(Bits bits) {
  std::array<unsigned, 8> groups{};
  for (unsigned at = 0; at < 8; ++at) {
    groups[at] = static_cast<unsigned>(bits >> (112U - 16U * at)) & 0xffffU;
  }
  unsigned best = 0;
  unsigned best_length = 1;
  for (unsigned start = 0; start < 8; ++start) {
    unsigned length = 0;
    while (start + length < 8 && groups[start + length] == 0) ++length;
    if (length > best_length) {
      best = start;
      best_length = length;
    }
  }
  std::string text;
  for (unsigned at = 0; at < 8;) {
    if (best_length > 1 && at == best) {
      text += "::";
      at += best_length;
      continue;
    }
    if (!text.empty() && text.back() != ':') text += ':';
    text += fmt::format("{:x}", groups[at]);
    ++at;
  }
  return text;
}

}  // namespace

std::string_view name(Family family) {
  return family == Family::kIpv4 ? "IPv4" : "IPv6";
}

std::optional<Address> Address::parse(std::string_view text) {
  const std::string terminated(text);
  if (terminated.size() != std::strlen(terminated.c_str())) return std::nullopt;
  std::array<std::uint8_t, 16> bytes{};
  // inet_pton(3) refuses leading zeros and zones, as wanted.
  if (::inet_pton(AF_INET, terminated.c_str(), bytes.data()) == 1) {
    return Address(Family::kIpv4, read_bits(bytes.data(), 4));
  }
  if (::inet_pton(AF_INET6, terminated.c_str(), bytes.data()) == 1) {
    const Bits bits = read_bits(bytes.data(), 16);
    if (bits >> 32U == kIpv4Mapped >> 32U) return from_bits(Family::kIpv4, bits);
    return Address(Family::kIpv6, bits);
  }
  return std::nullopt;
}

Address Address::from_bits(Family family, Bits bits) {
  return family == Family::kIpv4 ? Address(family, bits & 0xffffffffU) : Address(family, bits);
}

Address Address::from_bytes(Family family, const void* bytes) {
  return Address(
      family, read_bits(static_cast<const std::uint8_t*>(bytes), family == Family::kIpv4 ? 4 : 16));
}

std::array<std::uint8_t, 16> Address::bytes() const {
  std::array<std::uint8_t, 16> out{};
  const auto count = static_cast<unsigned>(width()) / 8U;
  for (unsigned at = 0; at < count; ++at) {
    out[at] = static_cast<std::uint8_t>(bits_ >> (8U * (count - 1U - at)));
  }
  return out;
}

std::string Address::text() const {
  if (family_ == Family::kIpv6) return ipv6_text(bits_);
  const auto octet = [&](unsigned shift) { return static_cast<unsigned>(bits_ >> shift) & 0xffU; };
  return fmt::format("{}.{}.{}.{}", octet(24), octet(16), octet(8), octet(0));
}

bool Address::is_loopback() const {
  return family_ == Family::kIpv4 ? bits_ >> 24U == 127 : bits_ == 1;
}

bool Address::is_multicast() const {
  return family_ == Family::kIpv4 ? bits_ >> 28U == 0xe : bits_ >> 120U == 0xff;
}

bool Address::is_link_local() const {
  return family_ == Family::kIpv4 ? bits_ >> 16U == 0xa9fe : bits_ >> 118U == 0x3fa;
}

}  // namespace cni::inet
