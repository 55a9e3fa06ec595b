#include "exec/child.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/capability.h>
#include <linux/close_range.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <utility>

#include "base/deadline.h"
#include "base/error.h"
#include "base/file.h"
#include "base/unique_fd.h"

namespace cni::exec {
namespace {

constexpr std::chrono::milliseconds kTextBusyLimit{5000};
constexpr int kTextBusyPauseMs = 20;

struct Pipe {
  UniqueFd read;
  UniqueFd write;
};

Pipe make_pipe() {
  std::array<int, 2> ends{};
  if (::pipe2(ends.data(), O_CLOEXEC) != 0) throw_errno("make a pipe");
  return {.read = UniqueFd(ends[0]), .write = UniqueFd(ends[1])};
}

void set_nonblocking(const UniqueFd& fd) {
  ::fcntl(fd.get(), F_SETFL, O_NONBLOCK);
}

// SIGCHLD as a readable descriptor, blocked for as long as the object lives. Older kernels have no
// pidfd_open(2). Whoever started us may have left SIGCHLD ignored, and then it is never sent and
// children leave no status (waitpid(2)).
class ChildEnded {
 public:
  ChildEnded() {
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
  ChildEnded(const ChildEnded&) = delete;
  ChildEnded& operator=(const ChildEnded&) = delete;
  ~ChildEnded() {
    ::sigaction(SIGCHLD, &previous_action_, nullptr);
    ::sigprocmask(SIG_SETMASK, &previous_mask_, nullptr);
  }

  int fd() const { return fd_.get(); }
  void clear() const {
    signalfd_siginfo info{};
    while (::read(fd_.get(), &info, sizeof info) > 0) {
    }
  }

 private:
  sigset_t previous_mask_{};
  struct sigaction previous_action_{};
  UniqueFd fd_;
};

void close_other_descriptors() {
  if (::syscall(SYS_close_range, 3U, ~0U, CLOSE_RANGE_CLOEXEC) == 0) return;
  rlimit limit{};
  ::getrlimit(RLIMIT_NOFILE, &limit);
  for (rlim_t fd = 3; fd < limit.rlim_cur; ++fd) ::fcntl(static_cast<int>(fd), F_SETFD, FD_CLOEXEC);
}

void drop_inheritable_capabilities() {
  __user_cap_header_struct header{.version = _LINUX_CAPABILITY_VERSION_3, .pid = 0};
  std::array<__user_cap_data_struct, 2> sets{};
  if (::syscall(SYS_capget, &header, sets.data()) != 0) return;
  for (__user_cap_data_struct& set : sets) set.inheritable = 0;
  ::syscall(SYS_capset, &header, sets.data());
  ::prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
}

void reset_signals() {
  for (int signal = 1; signal < NSIG; ++signal) {
    if (signal != SIGKILL && signal != SIGSTOP) std::signal(signal, SIG_DFL);
  }
  sigset_t none;
  ::sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
}

struct Program {
  const char* path;
  char* const* arguments;
  char* const* environment;
};

// Runs in the child; reports the errno of exec through `failure`, which closes by itself on
// success.
[[noreturn]] void become(const Program& program, int in, int out, int err, int failure,
                         pid_t parent) {
  ::setpgid(0, 0);
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (::getppid() != parent) ::_exit(127);
  reset_signals();
  // Onto high numbers first: the pipe ends themselves may be 0, 1 or 2.
  const int high_in = ::fcntl(in, F_DUPFD_CLOEXEC, 10);
  const int high_out = ::fcntl(out, F_DUPFD_CLOEXEC, 10);
  const int high_err = ::fcntl(err, F_DUPFD_CLOEXEC, 10);
  const int high_failure = ::fcntl(failure, F_DUPFD_CLOEXEC, 10);
  ::dup2(high_in, STDIN_FILENO);
  ::dup2(high_out, STDOUT_FILENO);
  ::dup2(high_err, STDERR_FILENO);
  close_other_descriptors();
  drop_inheritable_capabilities();
  ::execve(program.path, program.arguments, program.environment);
  const int error = errno;
  [[maybe_unused]] const ssize_t written = ::write(high_failure, &error, sizeof error);
  ::_exit(127);
}

// The errno of the child's exec; 0 if it runs.
int read_exec_failure(const UniqueFd& failure) {
  int error = 0;
  ssize_t count = 0;
  do {
    count = ::read(failure.get(), &error, sizeof error);
  } while (count < 0 && errno == EINTR);
  return count == sizeof error ? error : 0;
}

int reap(pid_t pid) {
  int status = 0;
  while (::waitpid(pid, &status, 0) < 0 && errno == EINTR) {
  }
  return status;
}

class Conversation {
 public:
  Conversation(pid_t pid, UniqueFd in, UniqueFd out, UniqueFd err, std::string_view input,
               const Limits& limits, Stderr stderr_goes, const ChildEnded& ended)
      : pid_(pid),
        in_(std::move(in)),
        out_(std::move(out)),
        err_(std::move(err)),
        input_(input),
        limits_(limits),
        stderr_goes_(stderr_goes),
        ended_(ended),
        deadline_(Deadline::in(limits.time)) {
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
    std::array<pollfd, 4> fds = {{{.fd = in_.get(), .events = POLLOUT, .revents = 0},
                                  {.fd = out_.get(), .events = POLLIN, .revents = 0},
                                  {.fd = err_.get(), .events = POLLIN, .revents = 0},
                                  {.fd = ended_.fd(), .events = POLLIN, .revents = 0}}};
    const int timeout = deadline_.poll_timeout_ms();
    if (timeout == 0) return false;
    if (::poll(fds.data(), fds.size(), timeout) < 0 && errno != EINTR) throw_errno("poll a child");
    if (fds[0].revents != 0) feed();
    if (fds[1].revents != 0) collect(out_, output_);
    if (fds[2].revents != 0) collect_stderr();
    if (fds[3].revents != 0) look_whether_ended();
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
  Deadline deadline_;
  std::optional<int> status_;
  bool flooded_ = false;
  std::string output_;
  std::string errors_;
};

}  // namespace

Outcome run_child(const std::string& path, const std::vector<std::string>& environment,
                  std::string_view input, const Limits& limits, Stderr stderr_goes) {
  std::string argument = path;
  std::array<char*, 2> arguments = {argument.data(), nullptr};
  std::vector<std::string> variables = environment;
  std::vector<char*> pointers;
  pointers.reserve(variables.size() + 1);
  for (std::string& variable : variables) pointers.push_back(variable.data());
  pointers.push_back(nullptr);
  const Program program{
      .path = path.c_str(), .arguments = arguments.data(), .environment = pointers.data()};

  const ChildEnded ended;
  const Deadline busy_until = Deadline::in(kTextBusyLimit);
  for (;;) {
    Pipe in = make_pipe();
    Pipe out = make_pipe();
    Pipe err = make_pipe();
    Pipe failure = make_pipe();
    const pid_t parent = ::getpid();
    const pid_t pid = ::fork();
    if (pid < 0) throw_errno(fmt::format("start {}", path));
    if (pid == 0) {
      become(program, in.read.get(), out.write.get(), err.write.get(), failure.write.get(), parent);
    }
    ::setpgid(pid, pid);  // whoever is first, so that the group exists before it has to be killed
    in.read.reset();
    out.write.reset();
    err.write.reset();
    failure.write.reset();
    const int error = read_exec_failure(failure.read);
    if (error == 0) {
      return Conversation(pid, std::move(in.write), std::move(out.read), std::move(err.read), input,
                          limits, stderr_goes, ended)
          .run();
    }
    reap(pid);
    const std::string attempt = fmt::format("fork/exec {}", path);
    if (error != ETXTBSY) throw SystemError(error, attempt);
    if (busy_until.passed()) throw Busy(SystemError(error, attempt).what());
    // No event tells that a writer has closed the file.
    ::poll(nullptr, 0, kTextBusyPauseMs);
  }
}

std::string describe(const Outcome& outcome) {
  switch (outcome.ending) {
    case Ending::kExited:
      return fmt::format("exit status {}", outcome.number);
    case Ending::kSignalled: {
      const char* description = ::sigdescr_np(outcome.number);
      return description == nullptr ? fmt::format("signal {}", outcome.number)
                                    : fmt::format("signal {}: {}", outcome.number, description);
    }
    case Ending::kTimedOut:
      return "no answer in time";
    case Ending::kFlooded:
      return "more output than is accepted";
  }
  return "";
}

}  // namespace cni::exec
