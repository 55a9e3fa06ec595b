// A moment until which something is waited for, on CLOCK_MONOTONIC: clock jumps do not move it.
#pragma once

#include <chrono>

namespace cni {

class Deadline {
 public:
  static Deadline in(std::chrono::milliseconds span);

  // What is left, in the form poll(2) wants: rounded up, never negative.
  int poll_timeout_ms() const;
  bool passed() const { return poll_timeout_ms() == 0; }

 private:
  explicit Deadline(std::chrono::steady_clock::time_point moment) : moment_(moment) {}
  std::chrono::steady_clock::time_point moment_;
};

}  // namespace cni
