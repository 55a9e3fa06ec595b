#include "support/sandbox.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <stdexcept>
#include <system_error>
#include <thread>
#include <utility>

namespace cni::test {
namespace {

using Clock = std::chrono::steady_clock;

// How long a pipe may stay open after the program itself has ended.
constexpr std::chrono::seconds kGrace{2};

[[noreturn]] void fail(const std::string& attempt) {
  throw std::system_error(errno, std::system_category(), attempt);
}

class Fd {
 public:
  Fd() = default;
  explicit Fd(int fd) : fd_(fd) {}
  Fd(Fd&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Fd& operator=(Fd&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }
  ~Fd() { close(); }
  void close() {
    if (fd_ >= 0) ::close(fd_);
    fd_ = -1;
  }
  int get() const { return fd_; }

 private:
  int fd_ = -1;
};

struct Pipe {
  Fd read;
  Fd write;
};

Pipe make_pipe() {
  std::array<int, 2> ends{};
  if (::pipe2(ends.data(), O_CLOEXEC) != 0) fail("make a pipe");
  // dup2(2) onto the same number would keep close-on-exec: stay clear of 0, 1 and 2.
  const auto above = [](int fd) {
    if (fd > 2) return fd;
    const int moved = ::fcntl(fd, F_DUPFD_CLOEXEC, 3);
    ::close(fd);
    return moved;
  };
  return {.read = Fd(above(ends[0])), .write = Fd(above(ends[1]))};
}

std::vector<char*> pointers(const std::vector<std::string>& texts) {
  std::vector<char*> list;
  list.reserve(texts.size() + 1);
  for (const std::string& text : texts) list.push_back(const_cast<char*>(text.c_str()));
  list.push_back(nullptr);
  return list;
}

// Processes that have ended and wait for process 1 to notice do not count: some are slow at that.
bool has_living_member(pid_t group) {
  for (const auto& entry : std::filesystem::directory_iterator("/proc")) {
    std::ifstream file(entry.path() / "stat");
    std::string line;
    if (!std::getline(file, line)) continue;
    // proc(5): after the command, which may hold anything but ends with the last ')'.
    std::istringstream rest(line.substr(line.rfind(')') + 1));
    char state = 0;
    pid_t parent = 0;
    pid_t its_group = 0;
    rest >> state >> parent >> its_group;
    if (its_group == group && state != 'Z' && state != 'X') return true;
  }
  return false;
}

// Whether anyone of the group is alive who will not be gone in a moment.
bool group_lives(pid_t group) {
  for (int round = 0; round < 200; ++round) {
    if (::kill(-group, 0) != 0 || !has_living_member(group)) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  return true;
}

struct Child {
  const char* file;
  char* const* argv;
  char* const* environment;
  int netns;
  const char* directory;
  int in;
  int out;
  int err;
  bool stdout_closed;
};

// After fork(2) in a program with threads: only calls that are safe there (signal-safety(7)).
[[noreturn]] void become(const Child& child) {
  const auto stop = [](const char* attempt) {
    const char* reason = ::strerrordesc_np(errno);
    const auto say = [](const char* text) {
      static_cast<void>(::write(STDERR_FILENO, text, std::strlen(text)) == 0);
    };
    say(attempt);
    say(": ");
    say(reason == nullptr ? "?" : reason);
    say("\n");
    ::_exit(127);
  };
  ::setpgid(0, 0);
  for (int number = 1; number < NSIG; ++number) {
    if (number != SIGKILL && number != SIGSTOP) ::signal(number, SIG_DFL);
  }
  ::dup2(child.err, STDERR_FILENO);
  ::dup2(child.in, STDIN_FILENO);
  if (child.stdout_closed) {
    ::close(STDOUT_FILENO);
  } else {
    ::dup2(child.out, STDOUT_FILENO);
  }
  if (child.netns >= 0 && ::setns(child.netns, CLONE_NEWNET) != 0) stop("enter the netns");
  if (child.directory != nullptr && ::chdir(child.directory) != 0) stop("change directory");
  ::execvpe(child.file, child.argv, child.environment);
  stop(child.file);
  ::_exit(127);
}

// Feeds stdin and collects stdout and stderr until all are closed or the time is over.
void exchange(Fd input, const std::string& text, Fd out, Fd err, const Fd& process,
              Clock::time_point end, Outcome& outcome) {
  std::size_t fed = 0;
  if (text.empty()) input.close();
  std::array<char, 65536> buffer{};
  bool ended = false;
  while (out.get() >= 0 || err.get() >= 0 || !ended) {
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(end - Clock::now());
    if (left.count() <= 0) {
      // Within the grace the program itself has ended; only a pipe is held open by someone.
      outcome.timed_out = !ended;
      return;
    }
    std::array<pollfd, 4> polled{{{input.get(), POLLOUT, 0},
                                  {out.get(), POLLIN, 0},
                                  {err.get(), POLLIN, 0},
                                  {ended ? -1 : process.get(), POLLIN, 0}}};
    if (::poll(polled.data(), polled.size(), static_cast<int>(left.count())) < 0) {
      if (errno == EINTR) continue;
      fail("poll a program");
    }
    if (polled[0].revents != 0) {
      const ssize_t count =
          ::write(input.get(), text.data() + fed, std::min<std::size_t>(text.size() - fed, 4096));
      if (count >= 0) fed += static_cast<std::size_t>(count);
      if (count < 0 || fed == text.size()) input.close();
    }
    const auto collect = [&](Fd& from, short events, std::string& into) {
      if (events == 0) return;
      const ssize_t count = ::read(from.get(), buffer.data(), buffer.size());
      if (count > 0) {
        into.append(buffer.data(), static_cast<std::size_t>(count));
      } else if (count == 0 || errno != EINTR) {
        from.close();
      }
    };
    collect(out, polled[1].revents, outcome.out);
    collect(err, polled[2].revents, outcome.err);
    if (polled[3].revents != 0) {
      ended = true;
      end = std::min(end, Clock::now() + kGrace);
    }
  }
}

std::string escaped(const std::string& text) {
  return text.empty() ? "(nothing)" : text;
}

}  // namespace

Environment plain_environment() {
  Environment environment;
  for (const char* name :
       {"PATH", "TMPDIR", "ASAN_OPTIONS", "UBSAN_OPTIONS", "LSAN_OPTIONS", "GCOV_PREFIX"}) {
    if (const char* value = std::getenv(name); value != nullptr) environment[name] = value;
  }
  return environment;
}

std::string Outcome::text() const {
  return fmt::format("exit status {}, signal {}{}{}\nstdout: {}\nstderr: {}", status, signal,
                     timed_out ? ", TIME LIMIT" : "", left_processes ? ", LEFT PROCESSES" : "",
                     escaped(out), escaped(err));
}

Outcome run(const Program& program) {
  // The program may end before it has read its input.
  [[maybe_unused]] static const auto once = std::signal(SIGPIPE, SIG_IGN);

  std::vector<std::string> assignments;
  for (const auto& [name, value] : program.environment.value_or(plain_environment())) {
    assignments.push_back(name + "=" + value);
  }
  const std::vector<char*> argv = pointers(program.argv);
  const std::vector<char*> environment = pointers(assignments);
  const auto open_path = [](const std::string& path, int flags) {
    if (path.empty()) return Fd();
    Fd fd(::open(path.c_str(), flags | O_CLOEXEC));
    if (fd.get() < 0) fail("open " + path);
    return fd;
  };
  const Fd netns = open_path(program.netns, O_RDONLY);
  const Fd chosen_stdout = open_path(program.stdout_path, O_WRONLY);
  Pipe in = make_pipe();
  Pipe out = make_pipe();
  Pipe err = make_pipe();

  const Child child{
      .file = program.argv.at(0).c_str(),
      .argv = argv.data(),
      .environment = environment.data(),
      .netns = netns.get(),
      .directory = program.directory.empty() ? nullptr : program.directory.c_str(),
      .in = in.read.get(),
      .out = chosen_stdout.get() >= 0 ? chosen_stdout.get() : out.write.get(),
      .err = err.write.get(),
      .stdout_closed = program.stdout_closed,
  };
  const Clock::time_point start = Clock::now();
  const pid_t pid = ::fork();
  if (pid < 0) fail("fork");
  if (pid == 0) become(child);
  ::setpgid(pid, pid);  // the child does the same: whoever comes first
  const Fd process(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));
  in.read.close();
  out.write.close();
  err.write.close();

  Outcome outcome;
  exchange(std::move(in.write), program.input, std::move(out.read), std::move(err.read), process,
           start + program.limit, outcome);
  if (outcome.timed_out) ::kill(-pid, SIGKILL);
  int status = 0;
  while (::waitpid(pid, &status, 0) < 0 && errno == EINTR) {
  }
  outcome.took = std::chrono::duration_cast<std::chrono::milliseconds>(Clock::now() - start);
  if (WIFEXITED(status)) outcome.status = WEXITSTATUS(status);
  if (WIFSIGNALED(status)) outcome.signal = WTERMSIG(status);
  if (!outcome.timed_out) outcome.left_processes = group_lives(pid);
  ::kill(-pid, SIGKILL);
  return outcome;
}

std::string run_checked(const Program& program) {
  const Outcome outcome = run(program);
  if (outcome.status == 0 && !outcome.timed_out) return outcome.out;
  std::string command;
  for (const std::string& word : program.argv) command += (command.empty() ? "" : " ") + word;
  throw std::runtime_error("`" + command + "` failed: " + outcome.text());
}

void set_loopback_up() {
  const Fd socket(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  ifreq request{};
  std::memcpy(request.ifr_name, "lo", 3);
  request.ifr_flags = IFF_UP;
  if (::ioctl(socket.get(), SIOCSIFFLAGS, &request) != 0) fail("set lo up");
}

}  // namespace cni::test
