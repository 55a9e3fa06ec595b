#include "protocol/version.h"

#include <algorithm>

namespace cni {

std::string_view text(Version version) {
  switch (version) {
    case Version::k0_1_0:
      return "0.1.0";
    case Version::k0_2_0:
      return "0.2.0";
    case Version::k0_3_0:
      return "0.3.0";
    case Version::k0_3_1:
      return "0.3.1";
    case Version::k0_4_0:
      return "0.4.0";
    case Version::k1_0_0:
      return "1.0.0";
    case Version::k1_1_0:
      return "1.1.0";
  }
  return "";
}

std::optional<Version> find_version(std::string_view wanted) {
  if (wanted.empty()) return Version::k0_1_0;
  const auto found = std::ranges::find(kVersions, wanted, [](Version v) { return text(v); });
  if (found == kVersions.end()) return std::nullopt;
  return *found;
}

ResultFamily result_family(Version version) {
  if (version < Version::k0_3_0) return ResultFamily::kIp4Ip6;
  return version < Version::k1_0_0 ? ResultFamily::kVersionedIps : ResultFamily::kIps;
}

}  // namespace cni
