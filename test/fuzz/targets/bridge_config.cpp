#include <algorithm>

#include "base/text.h"
#include "bridge/config.h"
#include "fuzz/input.h"
#include "fuzz/oracle.h"
#include "fuzz/targets.h"

namespace cni::fuzz {
namespace {

void check_config(const bridge::Config& config) {
  const std::string& name = config.bridge;
  require(!name.empty() && name.size() <= 15 && valid_utf8(name) == name && name != "lo" &&
              name != "." && name != ".." && name.find_first_of("/: %") == std::string::npos,
          "a bridge has a name that a link can have");
  require(std::ranges::is_sorted(config.vlans, std::less{}, &netlink::PortVlan::id),
          "VLANs are in order");
  require(std::ranges::adjacent_find(config.vlans, std::equal_to{}, &netlink::PortVlan::id) ==
              config.vlans.end(),
          "a VLAN is there once");
  require(std::ranges::all_of(config.vlans,
                              [](const auto& vlan) { return vlan.id >= 1 && vlan.id <= 4094; }),
          "VLANs have their numbers");
  require(std::ranges::count(config.vlans, true, &netlink::PortVlan::pvid) <= 1,
          "untagged frames belong to one VLAN");
  require(config.access_vlan <= 4094, "the VLAN of the gateway has a number");
  require(!config.container_mac || config.container_mac->is_assignable(),
          "a MAC is one that a link can have");
}

}  // namespace

void bridge_config(std::string_view input) {
  const auto parse = [&] {
    const Request request = request_of(input);
    require_sound(request);
    for (const std::string& link : bridge::parse_gateway_links_for_cleanup(request)) {
      require(!link.empty() && link.size() <= 15, "clean-up looks for possible names only");
    }
    check_config(bridge::parse_config(request));
  };
  accepts(parse, kConfigCodes);
}

}  // namespace cni::fuzz
