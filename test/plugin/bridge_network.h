// A network of the bridge plugin.
#pragma once

#include "plugin/network.h"

namespace cni::test {

// Bridge "br0", isGateway.
class BridgeNetwork : public Network {
 public:
  BridgeNetwork() : Network("bridge") {
    config["bridge"] = "br0";
    config["isGateway"] = true;
  }
};

}  // namespace cni::test
