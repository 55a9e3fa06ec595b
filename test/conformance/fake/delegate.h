// How the fake main plugin calls its IPAM plugin.
#pragma once

#include "fake/fake.h"

namespace fake {

// The result in 1.1.0, or null if the command gives none. Throws Error, with the delegate's code.
json delegate(const Request& request, const std::string& verb);

}  // namespace fake
