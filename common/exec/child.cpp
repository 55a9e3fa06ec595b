#include "exec/child.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/capability.h>
#include <poll.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <cstddef>
#include <cstring>
#include <memory>
#include <utility>

#include "base/deadline.h"
#include "base/descriptors.h"
#include "base/error.h"
#include "base/file.h"
#include "base/interruption.h"
#include "base/unique_fd.h"
#include "exec/conversation.h"

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
  int in;
  int out;
  int err;
  int failure;  // takes the errno of exec, and closes by itself on success
  pid_t parent;
};

// Runs in the child, which has our memory but a stack of its own until exec.
int become(void* argument) {
  const Program& program = *static_cast<const Program*>(argument);
  ::setpgid(0, 0);
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (::getppid() != program.parent) ::_exit(127);
  reset_signals();
  // Onto high numbers first: the pipe ends themselves may be 0, 1 or 2.
  const int high_in = ::fcntl(program.in, F_DUPFD_CLOEXEC, 10);
  const int high_out = ::fcntl(program.out, F_DUPFD_CLOEXEC, 10);
  const int high_err = ::fcntl(program.err, F_DUPFD_CLOEXEC, 10);
  const int high_failure = ::fcntl(program.failure, F_DUPFD_CLOEXEC, 10);
  ::dup2(high_in, STDIN_FILENO);
  ::dup2(high_out, STDOUT_FILENO);
  ::dup2(high_err, STDERR_FILENO);
  close_all_but(std::array{STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO, high_failure});
  drop_inheritable_capabilities();
  ::execve(program.path, program.arguments, program.environment);
  const int error = errno;
  [[maybe_unused]] const ssize_t written = ::write(high_failure, &error, sizeof error);
  ::_exit(127);
}

// As fork(2) and become() in the child, without a copy of our memory: we stand still until its
// exec.
pid_t start(Program program) {
  constexpr std::size_t kStackSize = 65536;
  const auto stack = std::make_unique_for_overwrite<std::byte[]>(kStackSize);
  // No handler of ours may run in the child.
  sigset_t all;
  sigset_t before;
  ::sigfillset(&all);
  ::sigprocmask(SIG_SETMASK, &all, &before);
  const pid_t pid =
      ::clone(become, stack.get() + kStackSize, CLONE_VM | CLONE_VFORK | SIGCHLD, &program);
  const int error = errno;
  ::sigprocmask(SIG_SETMASK, &before, nullptr);
  errno = error;
  return pid;
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
  const ChildEnded ended;
  const Deadline busy_until = Deadline::in(kTextBusyLimit);
  for (;;) {
    Pipe in = make_pipe();
    Pipe out = make_pipe();
    Pipe err = make_pipe();
    Pipe failure = make_pipe();
    // Later it could be the child's doing, or be meant for it.
    const bool interrupted = interruption::requested();
    const pid_t pid = start({.path = path.c_str(),
                             .arguments = arguments.data(),
                             .environment = pointers.data(),
                             .in = in.read.get(),
                             .out = out.write.get(),
                             .err = err.write.get(),
                             .failure = failure.write.get(),
                             .parent = ::getpid()});
    if (pid < 0) throw_errno(fmt::format("start {}", path));
    ::setpgid(pid, pid);  // whoever is first, so that the group exists before it has to be killed
    in.read.reset();
    out.write.reset();
    err.write.reset();
    failure.write.reset();
    const int error = read_exec_failure(failure.read);
    if (error == 0) {
      Started child{.pid = pid,
                    .after_interruption = interrupted,
                    .in = std::move(in.write),
                    .out = std::move(out.read),
                    .err = std::move(err.read)};
      Outcome outcome = converse(std::move(child), input, limits, stderr_goes, ended);
      // Who has done its work all the same is heard.
      if (outcome.ending != Ending::kExited || outcome.number != 0) interruption::check();
      return outcome;
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
