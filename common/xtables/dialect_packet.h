// Where the headers of packets have what rules of the iptables dialect compare: offsets and sizes
// in bytes.
#pragma once

#include <cstdint>

#include "inet/address.h"

namespace cni::xtables {

inline constexpr std::uint32_t kIpv4Protocol = 9;
// Of tcp, udp and sctp.
inline constexpr std::uint32_t kSourcePort = 0;
inline constexpr std::uint32_t kDestinationPort = 2;
inline constexpr std::uint32_t kPortSize = 2;

constexpr std::uint32_t source_offset(inet::Family family) {
  return family == inet::Family::kIpv4 ? 12 : 8;
}

constexpr std::uint32_t destination_offset(inet::Family family) {
  return family == inet::Family::kIpv4 ? 16 : 24;
}

constexpr std::uint32_t address_size(inet::Family family) {
  return family == inet::Family::kIpv4 ? 4 : 16;
}

}  // namespace cni::xtables
