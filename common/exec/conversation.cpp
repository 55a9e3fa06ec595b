#include "exec/conversation.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <optional>
#include <string>
#include <utility>

#include "base/deadline.h"
#include "base/error.h"
#include "base/interruption.h"

namespace cni::exec {
namespace {

void set_nonblocking(const UniqueFd& fd) {
  ::fcntl(fd.get(), F_SETFL, O_NONBLOCK);
}

class Conversation {
 public:
  Conversation(Started child, std::string_view input, const Limits& limits, Stderr stderr_goes,
               const ChildEnded& ended)
      : pid_(child.pid),
        in_(std::move(child.in)),
        out_(std::move(child.out)),
        err_(std::move(child.err)),
        input_(input),
        limits_(limits),
        stderr_goes_(stderr_goes),
        ended_(ended),
        asked_to_stop_(child.after_interruption),
        deadline_(Deadline::in(asked_to_stop_ ? std::min(limits.time, limits.stop) : limits.time)) {
    set_nonblocking(in_);
    set_nonblocking(out_);
    set_nonblocking(err_);
  }
  Conversation(const Conversation&) = delete;
  Conversation& operator=(const Conversation&) = delete;
  // Only if it was left by an exception is the child still there.
  ~Conversation() {
    if (!status_) kill_group();
  }

  Outcome run() {
    while (!finished()) {
      const bool in_time = wait();
      if (flooded_) {
        kill_group();
        return outcome(Ending::kFlooded, 0);
      }
      if (in_time) continue;
      if (status_) break;  // the grace is over
      kill_group();
      return outcome(Ending::kTimedOut, 0);
    }
    const int status = status_.value_or(0);
    if (WIFSIGNALED(status)) return outcome(Ending::kSignalled, WTERMSIG(status));
    return outcome(Ending::kExited, WEXITSTATUS(status));
  }

 private:
  bool finished() const { return status_ && !out_ && !err_; }

  // One round of poll(2); false when the deadline has passed.
  bool wait() {
    const int interrupted = asked_to_stop_ ? -1 : interruption::fd();
    std::array<pollfd, 5> fds = {{{.fd = in_.get(), .events = POLLOUT, .revents = 0},
                                  {.fd = out_.get(), .events = POLLIN, .revents = 0},
                                  {.fd = err_.get(), .events = POLLIN, .revents = 0},
                                  {.fd = ended_.fd(), .events = POLLIN, .revents = 0},
                                  {.fd = interrupted, .events = POLLIN, .revents = 0}}};
    const int timeout = deadline_.poll_timeout_ms();
    if (timeout == 0) return false;
    if (::poll(fds.data(), fds.size(), timeout) < 0 && errno != EINTR) throw_errno("poll a child");
    if (fds[0].revents != 0) feed();
    if (fds[1].revents != 0) collect(out_, output_);
    if (fds[2].revents != 0) collect_stderr();
    if (fds[3].revents != 0) look_whether_ended();
    if (fds[4].revents != 0) ask_to_stop();
    return true;
  }

  void feed() {
    const ssize_t count = ::write(in_.get(), input_.data(), input_.size());
    if (count < 0 && (errno == EAGAIN || errno == EINTR)) return;
    // A child that does not read its input is judged by what it prints.
    if (count < 0) input_ = {};
    if (count > 0) input_.remove_prefix(static_cast<std::size_t>(count));
    if (input_.empty()) in_.reset();
  }

  void collect(UniqueFd& fd, std::string& into) {
    std::array<char, 65536> buffer{};
    const ssize_t count = ::read(fd.get(), buffer.data(), buffer.size());
    if (count < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (count <= 0) {
      fd.reset();
      return;
    }
    into.append(buffer.data(), static_cast<std::size_t>(count));
    flooded_ = flooded_ || into.size() > limits_.output;
  }

  void collect_stderr() {
    const std::size_t before = errors_.size();
    collect(err_, errors_);
    if (stderr_goes_ == Stderr::kKept) return;
    const std::string_view fresh = std::string_view(errors_).substr(before);
    [[maybe_unused]] const ssize_t written = ::write(STDERR_FILENO, fresh.data(), fresh.size());
  }

  void look_whether_ended() {
    ended_.clear();
    int status = 0;
    if (status_ || ::waitpid(pid_, &status, WNOHANG) != pid_) return;
    status_ = status;
    in_.reset();
    deadline_ = Deadline::in(limits_.grace);
  }

  // The child may have something to undo as well.
  void ask_to_stop() {
    asked_to_stop_ = true;
    if (status_) return;
    ::kill(-pid_, SIGTERM);
    deadline_ = Deadline::in(limits_.stop);
  }

  void kill_group() {
    ::kill(-pid_, SIGKILL);
    if (!status_) status_ = reap(pid_);
  }

  Outcome outcome(Ending ending, int number) {
    return {
        .ending = ending, .number = number, .out = std::move(output_), .err = std::move(errors_)};
  }

  pid_t pid_;
  UniqueFd in_;
  UniqueFd out_;
  UniqueFd err_;
  std::string_view input_;
  const Limits& limits_;
  Stderr stderr_goes_;
  const ChildEnded& ended_;
  bool asked_to_stop_;
  Deadline deadline_;
  std::optional<int> status_;
  bool flooded_ = false;
  std::string output_;
  std::string errors_;
};

}  // namespace

ChildEnded::ChildEnded() {
  sigset_t signals;
  ::sigemptyset(&signals);
  ::sigaddset(&signals, SIGCHLD);
  ::sigprocmask(SIG_BLOCK, &signals, &previous_mask_);
  struct sigaction action{};
  action.sa_handler = SIG_DFL;
  ::sigaction(SIGCHLD, &action, &previous_action_);
  fd_ = UniqueFd(::signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK));
  if (!fd_) throw_errno("make a signalfd");
}

ChildEnded::~ChildEnded() {
  ::sigaction(SIGCHLD, &previous_action_, nullptr);
  ::sigprocmask(SIG_SETMASK, &previous_mask_, nullptr);
}

void ChildEnded::clear() const {
  signalfd_siginfo info{};
  while (::read(fd_.get(), &info, sizeof info) > 0) {
  }
}

int reap(pid_t pid) {
  int status = 0;
  while (::waitpid(pid, &status, 0) < 0 && errno == EINTR) {
  }
  return status;
}

Outcome converse(Started child, std::string_view input, const Limits& limits, Stderr stderr_goes,
                 const ChildEnded& ended) {
  return Conversation(std::move(child), input, limits, stderr_goes, ended).run();
}

}  // namespace cni::exec
