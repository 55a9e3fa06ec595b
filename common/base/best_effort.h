// Runs the steps of DEL and GC: each one is tried, whatever became of those before it, and the
// failures are reported together at the end.
#pragma once

#include <concepts>
#include <exception>
#include <functional>
#include <stdexcept>
#include <string>
#include <vector>

namespace cni {

// Two or more steps failed. what() joins their messages; first() is the first failure.
class SeveralFailures : public std::runtime_error {
 public:
  SeveralFailures(const std::string& message, std::exception_ptr first)
      : std::runtime_error(message), first_(std::move(first)) {}

  const std::exception_ptr& first() const { return first_; }

 private:
  std::exception_ptr first_;
};

class BestEffort {
 public:
  // `what` completes the sentence "cannot <what>: ...". Returns whether the step went through.
  bool run(const std::string& what, const std::function<void()>& step);

  // Throws what went wrong: the failure itself if there was one, SeveralFailures if there were
  // more.
  void finish();

 private:
  struct Failure {
    std::string message;
    std::exception_ptr error;
  };
  std::vector<Failure> failures_;
};

}  // namespace cni
