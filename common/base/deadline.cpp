#include "base/deadline.h"

#include <algorithm>
#include <limits>

namespace cni {

Deadline Deadline::in(std::chrono::milliseconds span) {
  return Deadline(std::chrono::steady_clock::now() + span);
}

int Deadline::poll_timeout_ms() const {
  const auto left =
      std::chrono::ceil<std::chrono::milliseconds>(moment_ - std::chrono::steady_clock::now());
  return static_cast<int>(
      std::clamp<std::chrono::milliseconds::rep>(left.count(), 0, std::numeric_limits<int>::max()));
}

}  // namespace cni
