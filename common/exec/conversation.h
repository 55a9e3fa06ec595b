// What passes between us and a child that runs: its input, its output, and its end.
#pragma once

#include <sys/types.h>

#include <csignal>
#include <string_view>

#include "base/unique_fd.h"
#include "exec/child.h"

namespace cni::exec {

// SIGCHLD as a readable descriptor, blocked for as long as the object lives. Older kernels have no
// pidfd_open(2). Whoever started us may have left SIGCHLD ignored, and then it is never sent and
// children leave no status (waitpid(2)).
class ChildEnded {
 public:
  // Throws SystemError.
  ChildEnded();
  ChildEnded(const ChildEnded&) = delete;
  ChildEnded& operator=(const ChildEnded&) = delete;
  ~ChildEnded();

  int fd() const { return fd_.get(); }
  void clear() const;

 private:
  sigset_t previous_mask_{};
  struct sigaction previous_action_{};
  UniqueFd fd_;
};

// A child that runs, and our ends of its descriptors.
struct Started {
  pid_t pid;
  // It cleans up: we had been interrupted before it was started, and it is not asked to stop.
  bool after_interruption;
  UniqueFd in;
  UniqueFd out;
  UniqueFd err;
};

// Waits until the process is gone, and returns its status (waitpid(2)).
int reap(pid_t pid);

// Feeds `input` and collects what the child prints until it ends or a limit is reached; then it is
// killed with its process group, which it leads. Throws SystemError.
Outcome converse(Started child, std::string_view input, const Limits& limits, Stderr stderr_goes,
                 const ChildEnded& ended);

}  // namespace cni::exec
