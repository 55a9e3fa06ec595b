#include <ctime>
#include <string>

#include "fuzz/oracle.h"
#include "fuzz/targets.h"

namespace cni::fuzz {
namespace {

#ifndef CNI_FUZZ_SECONDS
#define CNI_FUZZ_SECONDS 1
#endif
constexpr int kMostSeconds = CNI_FUZZ_SECONDS;

double processor_seconds() {
  timespec now{};
  ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) / 1e9;
}

}  // namespace

void run(const Target& target, std::string_view input) {
  const double start = processor_seconds();
  target.run(input);
  const double taken = processor_seconds() - start;
  require(taken <= kMostSeconds, "at most " + std::to_string(kMostSeconds) +
                                     " s of processor time, not " + std::to_string(taken));
}

}  // namespace cni::fuzz
