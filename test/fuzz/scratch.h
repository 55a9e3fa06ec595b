// A directory for the files of one input.
#pragma once

#include <string>

namespace cni::fuzz {

// Empty at each call; there as long as the process. Below $TMPDIR if that is set, else in memory.
const std::string& fresh_directory();

}  // namespace cni::fuzz
