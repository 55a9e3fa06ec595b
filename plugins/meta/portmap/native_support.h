// Whether this kernel can hold the table of host ports.
#pragma once

#include <optional>
#include <string>

namespace cni::portmap {

// A sentence that names what is missing. Tries each feature in a transaction that cannot succeed,
// so nothing changes.
std::optional<std::string> find_lack_of_native_support();

}  // namespace cni::portmap
