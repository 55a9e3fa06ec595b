#include "base/best_effort.h"

#include <fmt/format.h>

#include "base/error.h"

namespace cni {

bool BestEffort::run(const std::string& what, const std::function<void()>& step) {
  try {
    step();
    return true;
  } catch (...) {
    failures_.push_back({.message = fmt::format("cannot {}: {}", what, current_exception_text()),
                         .error = std::current_exception()});
    return false;
  }
}

void BestEffort::finish() {
  if (failures_.empty()) return;
  const std::vector<Failure> failures = std::move(failures_);
  failures_.clear();
  if (failures.size() == 1) std::rethrow_exception(failures.front().error);
  std::string message;
  for (const Failure& failure : failures) {
    if (!message.empty()) message += "; ";
    message += failure.message;
  }
  throw SeveralFailures(message, failures.front().error);
}

}  // namespace cni
