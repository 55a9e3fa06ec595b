// The host as a router between its containers and the world.
#pragma once

#include "attachment/check_container_link.h"
#include "inet/address.h"

namespace cni::attachment {

// In the namespace of this thread. Others may rely on it from then on, so nothing turns it off
// again. Throws SystemError that names the sysctl.
void enable_forwarding(inet::Family family);

void check_forwarding(inet::Family family, Differences& differences);

}  // namespace cni::attachment
