// Programs of the host itself that listen on ports which are mapped.
#pragma once

#include <vector>

#include "mapping.h"

namespace cni::portmap {

// Logs a warning for each socket of the host that gets no packets any more because of `runs`. What
// the kernel refuses to tell is logged and ignored.
void warn_of_listeners(inet::Family family, const std::vector<Run>& runs);

}  // namespace cni::portmap
