// What there is left to clean up with when there is no more memory. Needed because clean-up
// allocates too, in places that cannot fail: nlohmann_json's destructor, for example, keeps a list.
#pragma once

namespace cni::memory_reserve {

// Sets memory aside. The first allocation by `new` that fails afterwards gets it, and succeeds. If
// there is none to set aside that is as if it had been needed already.
void hold();

// Throws std::bad_alloc if it has come to that. For moments at which one can go back.
void check();

}  // namespace cni::memory_reserve
