// The way back of an ADD: what was done is undone in reverse order unless commit() is called.
//
// Add the undo after a step that happens whole or not at all, and before a step that may stop
// half-way, or that may have happened although it failed: the kernel's answer can be lost. An
// action names its object by value and calls the same "delete if it exists" function that DEL
// calls. A failing action is logged and does not hide the first error.
#pragma once

#include <functional>
#include <string>
#include <vector>

namespace cni {

class Undo {
 public:
  Undo() = default;
  Undo(const Undo&) = delete;
  Undo& operator=(const Undo&) = delete;
  ~Undo() { roll_back(); }

  // `what` completes the log line "cannot <what>: ...". Throws Interrupted, the action being
  // noted, if this process is asked to stop: there is no next step. Throws std::bad_alloc likewise
  // if memory_reserve had to be used.
  void add(std::string what, std::function<void()> action);

  // Everything is as it should be: forget the way back.
  void commit() { steps_.clear(); }

  // Goes back now. Afterwards there is nothing left to undo.
  void roll_back() noexcept;

 private:
  struct Step {
    std::string what;
    std::function<void()> action;
  };
  std::vector<Step> steps_;
};

}  // namespace cni
