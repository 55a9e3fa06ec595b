#include "base/undo.h"

#include "base/error.h"
#include "base/interruption.h"
#include "base/log.h"
#include "base/memory_reserve.h"

namespace cni {

void Undo::add(std::string what, std::function<void()> action) {
  steps_.push_back({.what = std::move(what), .action = std::move(action)});
  interruption::check();
  memory_reserve::check();
}

void Undo::roll_back() noexcept {
  const interruption::Shield shield;
  while (!steps_.empty()) {
    const Step step = std::move(steps_.back());
    steps_.pop_back();
    try {
      step.action();
    } catch (...) {
      log::warning("rolling back: cannot {}: {}, ignoring", step.what, current_exception_text());
    }
  }
}

}  // namespace cni
