// The CNI spec versions this suite speaks, oldest first.
#pragma once

#include <array>
#include <optional>
#include <string_view>

namespace cni {

enum class Version { k0_1_0, k0_2_0, k0_3_0, k0_3_1, k0_4_0, k1_0_0, k1_1_0 };

inline constexpr std::array kVersions = {Version::k0_1_0, Version::k0_2_0, Version::k0_3_0,
                                         Version::k0_3_1, Version::k0_4_0, Version::k1_0_0,
                                         Version::k1_1_0};
inline constexpr Version kNewestVersion = Version::k1_1_0;

// "0.1.0" and so on.
std::string_view text(Version version);

// The exact text of a supported version; "" is 0.1.0. "1.0" is nothing.
std::optional<Version> find_version(std::string_view text);

// The versions of one family have the same result shape.
enum class ResultFamily {
  kIp4Ip6,        // 0.1.0, 0.2.0: ip4, ip6
  kVersionedIps,  // 0.3.0 to 0.4.0: ips with "version"
  kIps,           // 1.0.0 and newer: ips without
};
ResultFamily result_family(Version version);

}  // namespace cni
