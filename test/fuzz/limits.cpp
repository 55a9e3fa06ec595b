#include <ctime>
#include <string>

#include "fuzz/oracle.h"
#include "fuzz/targets.h"

namespace cni::fuzz {
namespace {

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
  require(taken <= 1, "at most 1 s of processor time, not " + std::to_string(taken));
}

}  // namespace cni::fuzz
