#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

namespace cni::xtables {

// xt_sctp_info of linux/netfilter/xt_sctp.h, which is C only.
struct SctpInfo {
  std::array<std::uint16_t, 2> destination;
  std::array<std::uint16_t, 2> source;
  std::array<std::uint32_t, 64> chunks;
  std::uint32_t chunk_match_type;
  struct FlagInfo {
    std::uint8_t chunk_type;
    std::uint8_t flag;
    std::uint8_t flag_mask;
  };
  std::array<FlagInfo, 4> flag_info;
  std::int32_t flag_count;
  std::uint32_t flags;
  std::uint32_t inverted_flags;
};
static_assert(sizeof(SctpInfo) == 292);
static_assert(offsetof(SctpInfo, flag_info) == 268);
static_assert(offsetof(SctpInfo, flags) == 284);

inline constexpr std::uint32_t kSctpSourcePorts = 1;
inline constexpr std::uint32_t kSctpDestinationPorts = 2;

}  // namespace cni::xtables
