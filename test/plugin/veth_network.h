// A network of the veth plugin.
#pragma once

#include "plugin/network.h"

namespace cni::test {

class VethNetwork : public Network {
 public:
  VethNetwork() : Network("veth") {
    // Else the kernel would give each host end a link-local address at some later time.
    set_sysctl(host, "net/ipv6/conf/default/addr_gen_mode", "1");
  }

  // One address of each family, with gateways.
  void give_dual_stack() {
    give({{"ips",
           {{{"address", "10.1.2.5/24"}, {"gateway", "10.1.2.1"}},
            {{"address", "fd00:1:2::5/64"}, {"gateway", "fd00:1:2::1"}}}},
          {"routes", {{{"dst", "0.0.0.0/0"}}, {{"dst", "::/0"}}}}});
  }
};

// The host end of the veth pair, as the result tells it.
inline std::string host_end(const Json& result) {
  return result.at("interfaces").at(0).at("name");
}

}  // namespace cni::test
