// Runs a program and does something to it at one of the moments at which it, or a process it has
// started, is about to change something outside of itself.
//
//   tracer REPORT AT ACTION PROGRAM [ARGUMENT...]
//
// AT counts these moments ("points") from 1; 0 lets all of them pass. ACTION is
//   kill-all     SIGKILL to all of its processes: the call does not happen
//   kill-main    SIGKILL to the program alone
//   kill-child   SIGKILL to the process that makes the call, if it is not the program
//   term         SIGTERM to the program, which goes on
//   errno=N      the call does not happen and fails with error number N
//   none         nothing
//   run=COMMAND  what a shell makes of COMMAND comes before the call
// Into the file REPORT goes a JSON object: "points", how many there were; "fired", whether AT was
// among them; "call", which one it was; "status", the program's as wait(2) has it; "left", how many
// of its processes were still there a second after its end. Standard streams are the program's.
#include <fcntl.h>
#include <linux/netlink.h>
#include <linux/openat2.h>
#include <sched.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iostream>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

namespace {

// linux/ptrace.h, which does not go together with sys/ptrace.h.
struct SyscallInfo {
  __u8 op;
  __u8 pad[3];
  __u32 arch;
  __u64 instruction_pointer;
  __u64 stack_pointer;
  __u64 number;
  __u64 arguments[6];
};
constexpr __u8 kEntry = 1;
constexpr __u8 kExit = 2;

[[noreturn]] void fail(const std::string& attempt) {
  throw std::runtime_error(attempt + ": " + std::strerror(errno));
}

template <typename Value>
Value read_value(pid_t pid, std::uint64_t address) {
  Value value{};
  iovec local{.iov_base = &value, .iov_len = sizeof value};
  iovec remote{.iov_base = reinterpret_cast<void*>(address), .iov_len = sizeof value};
  ::process_vm_readv(pid, &local, 1, &remote, 1, 0);
  return value;
}

std::string read_text(pid_t pid, std::uint64_t address) {
  std::string text(256, '\0');
  iovec local{.iov_base = text.data(), .iov_len = text.size()};
  iovec remote{.iov_base = reinterpret_cast<void*>(address), .iov_len = text.size()};
  // The text may end with its page.
  remote.iov_len = std::min(text.size(), std::size_t{4096} - address % 4096);
  const ssize_t count = ::process_vm_readv(pid, &local, 1, &remote, 1, 0);
  text.resize(count > 0 ? ::strnlen(text.data(), static_cast<std::size_t>(count)) : 0);
  return text;
}

std::string target_of(pid_t pid, std::uint64_t fd) {
  std::string path(256, '\0');
  const std::string link = "/proc/" + std::to_string(pid) + "/fd/" + std::to_string(fd);
  const ssize_t size = ::readlink(link.c_str(), path.data(), path.size());
  return size > 0 ? path.substr(0, static_cast<std::size_t>(size)) : "fd " + std::to_string(fd);
}

// The first netlink message of what is sent, or what it goes to.
std::string sent(pid_t pid, std::uint64_t fd, std::uint64_t address) {
  const std::string target = target_of(pid, fd);
  if (!target.starts_with("socket:")) return target;
  return "message of type " + std::to_string(read_value<nlmsghdr>(pid, address).nlmsg_type);
}

bool writes(std::uint64_t flags) {
  return (flags & O_ACCMODE) != O_RDONLY || (flags & (O_CREAT | O_TRUNC)) != 0;
}

// What the call would change, as "name(object)"; empty if it changes nothing outside the process.
std::string effect(pid_t pid, const SyscallInfo& call) {
  const auto& argument = call.arguments;
  const auto of = [&](const char* name, const std::string& object) {
    return std::string(name) + "(" + object + ")";
  };
  const auto path = [&](int at) { return read_text(pid, argument[at]); };
  switch (call.number) {
    case SYS_write:
      return of("write", target_of(pid, argument[0]));
    case SYS_writev:
      return of("writev", target_of(pid, argument[0]));
    case SYS_pwrite64:
      return of("pwrite", target_of(pid, argument[0]));
    case SYS_sendto:
      return of("sendto", sent(pid, argument[0], argument[1]));
    case SYS_sendmsg: {
      const auto header = read_value<msghdr>(pid, argument[1]);
      const auto part = read_value<iovec>(pid, reinterpret_cast<std::uint64_t>(header.msg_iov));
      return of("sendmsg", sent(pid, argument[0], reinterpret_cast<std::uint64_t>(part.iov_base)));
    }
    case SYS_open:
      return writes(argument[1]) ? of("open", path(0)) : "";
    case SYS_creat:
      return of("creat", path(0));
    case SYS_openat:
      return writes(argument[2]) ? of("openat", path(1)) : "";
    case SYS_openat2:
      return writes(read_value<open_how>(pid, argument[2]).flags) ? of("openat2", path(1)) : "";
    case SYS_mkdir:
      return of("mkdir", path(0));
    case SYS_mkdirat:
      return of("mkdirat", path(1));
    case SYS_unlink:
      return of("unlink", path(0));
    case SYS_unlinkat:
      return of("unlinkat", path(1));
    case SYS_rmdir:
      return of("rmdir", path(0));
    case SYS_rename:
      return of("rename", path(1));
    case SYS_renameat:
      return of("renameat", path(3));
    case SYS_renameat2:
      return of("renameat2", path(3));
    case SYS_link:
      return of("link", path(1));
    case SYS_linkat:
      return of("linkat", path(3));
    case SYS_symlinkat:
      return of("symlinkat", path(2));
    case SYS_ftruncate:
      return of("ftruncate", target_of(pid, argument[0]));
    case SYS_fchmod:
      return of("fchmod", target_of(pid, argument[0]));
    case SYS_flock:
      return of("flock", target_of(pid, argument[0]));
    case SYS_fsync:
      return of("fsync", target_of(pid, argument[0]));
    case SYS_fdatasync:
      return of("fdatasync", target_of(pid, argument[0]));
    case SYS_setns:
      return of("setns", target_of(pid, argument[0]));
    case SYS_unshare:
      return of("unshare", "");
    case SYS_mount:
      return of("mount", path(1));
    case SYS_setsockopt:
      return of("setsockopt", std::to_string(argument[2]));
    case SYS_ioctl:
      return of("ioctl", std::to_string(argument[1]));
    case SYS_bind:
      return of("bind", target_of(pid, argument[0]));
    case SYS_execve:
      return of("execve", path(0));
    case SYS_fork:
    case SYS_vfork:
      return of("fork", "");
    case SYS_clone:
      return (argument[0] & CLONE_THREAD) == 0 ? of("clone", "") : "";
    case SYS_clone3:
      return (read_value<std::uint64_t>(pid, argument[0]) & CLONE_THREAD) == 0 ? of("clone3", "")
                                                                               : "";
    case SYS_exit_group:
      return of("exit", std::to_string(argument[0]));
    default:
      return "";
  }
}

constexpr std::array kActions = {"none", "kill-all", "kill-main", "kill-child",
                                 "term", "errno=",   "run="};

class Tracer {
 public:
  Tracer(long at, std::string action) : at_(at), action_(std::move(action)) {
    const auto is_ours = [&](const char* known) {
      return action_ == known || (std::strchr(known, '=') != nullptr && action_.starts_with(known));
    };
    if (std::ranges::none_of(kActions, is_ours)) {
      throw std::runtime_error("there is no action '" + action_ + "'");
    }
  }

  nlohmann::json run(char** program) {
    main_ = ::fork();
    if (main_ < 0) fail("fork");
    if (main_ == 0) {
      ::ptrace(PTRACE_TRACEME, 0, nullptr, nullptr);
      ::raise(SIGSTOP);
      ::execvp(program[0], program);
      ::_exit(127);
    }
    int status = 0;
    if (::waitpid(main_, &status, 0) != main_) fail("wait for the program");
    constexpr long kOptions = PTRACE_O_TRACESYSGOOD | PTRACE_O_TRACEFORK | PTRACE_O_TRACEVFORK |
                              PTRACE_O_TRACECLONE | PTRACE_O_TRACEEXEC | PTRACE_O_EXITKILL;
    if (::ptrace(PTRACE_SETOPTIONS, main_, nullptr, kOptions) != 0) fail("trace");
    tasks_[main_] = {};
    resume(main_, 0);
    follow();
    return {{"points", points_},
            {"fired", fired_},
            {"call", call_},
            {"status", main_status_},
            {"left", left_}};
  }

 private:
  struct Task {
    bool started = false;  // the program itself has been executed
    long result = 0;       // what the call that is skipped returns
    bool skipped = false;
  };

  void resume(pid_t pid, int signal) {
    if (::ptrace(PTRACE_SYSCALL, pid, nullptr, signal) != 0 && errno != ESRCH) fail("resume");
  }

  void follow() {
    using Clock = std::chrono::steady_clock;
    std::optional<Clock::time_point> end;
    while (!tasks_.empty()) {
      int status = 0;
      const pid_t pid = ::waitpid(-1, &status, __WALL | (main_gone_ ? WNOHANG : 0));
      if (pid < 0) return;
      if (main_gone_ && !end) end = Clock::now() + std::chrono::seconds(1);
      if (pid == 0) {
        if (Clock::now() > *end) break;
        ::usleep(2000);
        continue;
      }
      if (WIFSTOPPED(status)) {
        stopped(pid, status);
        continue;
      }
      tasks_.erase(pid);
      if (pid == main_) {
        main_gone_ = true;
        main_status_ = status;
      }
    }
    left_ = static_cast<long>(tasks_.size());
    for (const auto& [pid, task] : tasks_) ::kill(pid, SIGKILL);
  }

  void stopped(pid_t pid, int status) {
    Task& task = tasks_[pid];
    const int signal = WSTOPSIG(status);
    if (signal == (SIGTRAP | 0x80)) {
      at_call(pid, task);
      resume(pid, 0);
    } else if (status >> 16 != 0) {  // PTRACE_EVENT_*
      if (status >> 16 == PTRACE_EVENT_EXEC) task.started = true;
      resume(pid, 0);
    } else {
      // The stop with which a new process begins is no signal of its own.
      resume(pid, signal == SIGSTOP ? 0 : signal);
    }
  }

  void at_call(pid_t pid, Task& task) {
    SyscallInfo info{};
    if (::ptrace(PTRACE_GET_SYSCALL_INFO, pid, sizeof info, &info) <= 0) return;
    if (info.op == kExit && task.skipped) {
      set_registers(pid, [&](user_regs_struct& all) {
        all.rax = static_cast<unsigned long long>(task.result);
      });
      task.skipped = false;
    }
    if (info.op != kEntry || (pid == main_ && !task.started)) return;
    const std::string what = effect(pid, info);
    if (what.empty() || ++points_ != at_) return;
    fired_ = true;
    call_ = (pid == main_ ? "" : "child: ") + what;
    act(pid, task, info.number);
  }

  void act(pid_t pid, Task& task, __u64 call) {
    if (action_ == "kill-all") {
      for (const auto& [each, unused] : tasks_) ::kill(each, SIGKILL);
    } else if (action_ == "kill-main") {
      ::kill(main_, SIGKILL);
    } else if (action_ == "kill-child") {
      fired_ = pid != main_;
      if (fired_) ::kill(pid, SIGKILL);
    } else if (action_ == "term") {
      ::kill(main_, SIGTERM);
    } else if (action_.starts_with("errno=")) {
      fired_ = call != SYS_exit_group;  // cannot fail
      if (!fired_) return;
      set_registers(pid, [](user_regs_struct& all) { all.orig_rax = ~0ULL; });
      task.skipped = true;
      task.result = -std::strtol(action_.c_str() + std::strlen("errno="), nullptr, 10);
    } else if (action_.starts_with("run=")) {
      if (std::system(action_.c_str() + std::strlen("run=")) != 0) fail("run the command");
    }
  }

  template <typename Change>
  static void set_registers(pid_t pid, const Change& change) {
    user_regs_struct all{};
    if (::ptrace(PTRACE_GETREGS, pid, nullptr, &all) != 0) return;  // killed meanwhile
    change(all);
    ::ptrace(PTRACE_SETREGS, pid, nullptr, &all);
  }

  const long at_;
  const std::string action_;
  pid_t main_ = 0;
  std::map<pid_t, Task> tasks_;
  long points_ = 0;
  bool fired_ = false;
  std::string call_;
  bool main_gone_ = false;
  int main_status_ = 0;
  long left_ = 0;
};

}  // namespace

int main(int argc, char** argv) {
  try {
    if (argc < 5) throw std::runtime_error("usage: tracer REPORT AT ACTION PROGRAM [ARGUMENT...]");
    std::ofstream(argv[1]) << Tracer(std::strtol(argv[2], nullptr, 10), argv[3]).run(argv + 4);
    return EXIT_SUCCESS;
  } catch (const std::exception& error) {
    std::cerr << "tracer: " << error.what() << "\n";
    return EXIT_FAILURE;
  }
}
