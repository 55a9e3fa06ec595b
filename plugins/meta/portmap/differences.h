// CHECK: what is in the way of a packet, against what the configuration asks for.
#pragma once

#include <string>
#include <vector>

#include "config.h"
#include "protocol/request.h"

namespace cni::portmap {

// Everything on the way of a packet that is missing or different, one sentence each.
std::vector<std::string> differences(const Request& request, const Config& config);

}  // namespace cni::portmap
