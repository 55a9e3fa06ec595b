// CHECK of the veth plugin.
#pragma once

#include "config.h"
#include "protocol/request.h"
#include "protocol/result.h"

namespace cni::veth {

// Compares the previous result and the configuration with the kernel, on the host and in the
// container. Throws Error 999 that names every difference.
void check_attachment(const Request& request, const Config& config, const Result& previous);

}  // namespace cni::veth
