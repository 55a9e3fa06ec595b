#include "lint_keys.h"

#include <cstdint>
#include <limits>

namespace cni::cnictl {

Shape dns() {
  return object({{"nameservers", list(text_value())},
                 {"domain", text_value()},
                 {"search", list(text_value())},
                 {"options", list(text_value())}});
}

Shape bandwidth_keys() {
  constexpr std::int64_t kMost = std::numeric_limits<std::int64_t>::max();
  return object({{"ingressRate", integer(0, kMost)},
                 {"ingressBurst", integer(0, kMost)},
                 {"egressRate", integer(0, kMost)},
                 {"egressBurst", integer(0, kMost)}});
}

const std::vector<Key>& common_keys() {
  // args.cni belongs to whoever calls; plugins take from it what they know.
  static const std::vector<Key> kKeys = {
      {"cniVersion", text_value()},
      {"cniVersions", list(text_value())},
      {"name", text_value()},
      {"type", text_value(), true},
      {"capabilities", booleans()},
      {"dns", dns()},
      {"prevResult", anything()},
      {"runtimeConfig", object({{"portMappings", anything()},
                                {"ipRanges", anything()},
                                {"bandwidth", bandwidth_keys()},
                                {"dns", dns()},
                                {"ips", list(host())},
                                {"mac", mac()},
                                {"infinibandGUID", text_value()},
                                {"deviceID", text_value()},
                                {"aliases", anything()},
                                {"cgroupPath", text_value()},
                                {"io.kubernetes.cri.pod-annotations", anything()}})},
      {"args", object({{"cni", anything()}})},
  };
  return kKeys;
}

const Shape& list_shape() {
  // libcni reads a list as a map, and a map tells letter case apart.
  static const Shape kShape = {.kind = Kind::kObject,
                               .keys = {{"name", text_value()},
                                        {"cniVersion", text_value()},
                                        {"cniVersions", list(text_value())},
                                        {"disableCheck", flag()},
                                        {"disableGC", flag()},
                                        {"loadOnlyInlinedPlugins", flag()},
                                        {"plugins", list(anything())}},
                               .exact_case = true};
  return kShape;
}

const std::vector<std::string>& known_capabilities() {
  static const std::vector<std::string> kCapabilities = {"portMappings",
                                                         "ipRanges",
                                                         "bandwidth",
                                                         "dns",
                                                         "ips",
                                                         "mac",
                                                         "infinibandGUID",
                                                         "deviceID",
                                                         "aliases",
                                                         "cgroupPath",
                                                         "io.kubernetes.cri.pod-annotations"};
  return kCapabilities;
}

}  // namespace cni::cnictl
