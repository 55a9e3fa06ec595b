// One target for libFuzzer, which has the main(). CNI_FUZZ_TARGET_NAME is its name.

#include <cstddef>
#include <cstdint>

#include "base/log.h"
#include "fuzz/targets.h"

// An exception that leaves this ends the process; libFuzzer then keeps the input.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  cni::fuzz::run({.name = "", .run = cni::fuzz::CNI_FUZZ_TARGET_NAME},
                 {reinterpret_cast<const char*>(data), size});
  return 0;
}
