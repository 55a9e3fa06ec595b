// For a child that goes on without what its parent has open.
#pragma once

#include <span>

namespace cni {

// Closes every descriptor but these, which are in ascending order. Allocates nothing: it may run
// after vfork(2), and where there is no more memory.
void close_all_but(std::span<const int> needed);

}  // namespace cni
