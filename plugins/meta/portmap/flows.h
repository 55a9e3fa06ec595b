// Flows of protocols without a connection of their own, which would go on to lead where the first
// packet led.
#pragma once

#include <optional>
#include <vector>

#include "inet/address.h"
#include "mapping.h"

namespace cni::portmap {

// Has connection tracking forget the flows of UDP and SCTP to these ports of the host; only those
// that `container` answers, if it is given. What the kernel refuses is logged and ignored.
void forget_flows(inet::Family family, const std::vector<Run>& runs,
                  const std::optional<inet::Address>& container);

}  // namespace cni::portmap
