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
};

}  // namespace cni::test
