#include "process.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include <algorithm>
#include <array>
#include <csignal>
#include <memory>

#include "fd.h"

namespace conformance {
namespace {

using Clock = std::chrono::steady_clock;

struct Pipe {
  Fd read, write;
};

Pipe make_pipe() {
  std::array<int, 2> ends{};
  check(::pipe2(ends.data(), O_CLOEXEC), "make a pipe");
  return {Fd(ends[0]), Fd(ends[1])};
}

std::vector<char*> pointers(const std::vector<std::string>& strings) {
  std::vector<char*> list;
  for (const std::string& text : strings) list.push_back(const_cast<char*>(text.c_str()));
  list.push_back(nullptr);
  return list;
}

// In the new process: puts what was asked for at descriptor `target`.
void place(Stream stream, int pipe, int target) {
  const auto open_as = [&](const char* path, int flags) { ::dup2(::open(path, flags), target); };
  switch (stream) {
    case Stream::kPipe:
    case Stream::kSilentPipe:
      ::dup2(pipe, target);
      break;
    case Stream::kClosed:
      ::close(target);
      break;
    case Stream::kFullDevice:
      open_as("/dev/full", O_RDWR);
      break;
    case Stream::kDirectory:
      open_as("/", O_RDONLY);
      break;
    case Stream::kWriteOnly:
      open_as("/dev/null", O_WRONLY);
      break;
  }
}

[[noreturn]] void become(const Program& program, char* const* argv, char* const* environment,
                         const std::array<int, 3>& pipes) {
  ::setpgid(0, 0);
  ::signal(SIGPIPE, SIG_DFL);
  // Out of the way of 0 to 2, which may be pipes themselves.
  std::array<int, 3> kept{};
  for (std::size_t i = 0; i < 3; ++i) kept.at(i) = ::fcntl(pipes.at(i), F_DUPFD_CLOEXEC, 10);
  place(program.in, kept[0], 0);
  place(program.out, kept[1], 1);
  place(program.err, kept[2], 2);
  ::syscall(SYS_close_range, 3U, ~0U, 4U /* CLOSE_RANGE_CLOEXEC */);
  if (program.prepare) program.prepare();
  ::execve(argv[0], argv, environment);
  ::_exit(127);
}

class Running {
 public:
  explicit Running(const Program& program) : program_(program), start_(Clock::now()) {
    std::vector<std::string> assignments;
    for (const auto& [name, value] : program.environment) assignments.push_back(name + "=" + value);
    const auto argv = pointers(program.argv);
    const auto environment = pointers(assignments);
    Pipe in = make_pipe();
    Pipe out = make_pipe();
    Pipe err = make_pipe();
    pid_ = check(::fork(), "fork");
    if (pid_ == 0) {
      become(program, argv.data(), environment.data(),
             {in.read.get(), out.write.get(), err.write.get()});
    }
    ::setpgid(pid_, pid_);
    process_ = Fd(static_cast<int>(::syscall(SYS_pidfd_open, pid_, 0)));
    in_ = std::move(in.write);
    out_ = std::move(out.read);
    err_ = std::move(err.read);
    if (program.input.empty() && program.in != Stream::kSilentPipe) in_.close();
  }
  Running(const Running&) = delete;
  Running& operator=(const Running&) = delete;
  ~Running() { ::kill(-pid_, SIGKILL); }

  bool ended() const { return ended_ && !out_ && !err_; }

  std::array<pollfd, 4> polled() const {
    const bool feeds = fed_ < program_.input.size();
    return {{{feeds ? in_.get() : -1, POLLOUT, 0},
             {out_.get(), POLLIN, 0},
             {err_.get(), POLLIN, 0},
             {ended_ ? -1 : process_.get(), POLLIN, 0}}};
  }

  void serve(const pollfd* polled) {
    if (polled[0].revents != 0) feed();
    if (polled[1].revents != 0) collect(out_, outcome_.out);
    if (polled[2].revents != 0) collect(err_, outcome_.err);
    if (polled[3].revents != 0) reap();
    const auto age = Clock::now() - start_;
    if (!ended_ && program_.kill_after.count() > 0 && age >= program_.kill_after) {
      ::kill(-pid_, SIGKILL);
    }
    if (!ended_ && age >= program_.limit) {
      outcome_.timed_out = true;
      ::kill(-pid_, SIGKILL);
    }
    // Pipes that somebody else holds open are not waited for.
    if (ended_ && Clock::now() - end_ > std::chrono::seconds(2)) {
      out_.close();
      err_.close();
    }
  }

  Outcome outcome() const { return outcome_; }

 private:
  void feed() {
    const std::size_t size = program_.byte_by_byte ? 1 : program_.input.size() - fed_;
    const ssize_t count =
        ::write(in_.get(), program_.input.data() + fed_, std::min<std::size_t>(size, 4096));
    if (count > 0) fed_ += static_cast<std::size_t>(count);
    if (count < 0 || fed_ == program_.input.size()) {
      fed_ = program_.input.size();
      if (program_.in != Stream::kSilentPipe) in_.close();
    }
  }

  static void collect(Fd& from, std::string& into) {
    std::array<char, 65536> buffer{};
    const ssize_t count = ::read(from.get(), buffer.data(), buffer.size());
    if (count > 0) into.append(buffer.data(), static_cast<std::size_t>(count));
    if (count == 0) from.close();
  }

  void reap() {
    int status = 0;
    if (::waitpid(pid_, &status, 0) != pid_) return;
    ended_ = true;
    end_ = Clock::now();
    if (WIFEXITED(status)) outcome_.status = WEXITSTATUS(status);
    if (WIFSIGNALED(status)) outcome_.signal = WTERMSIG(status);
  }

  const Program& program_;
  Clock::time_point start_, end_;
  pid_t pid_ = -1;
  Fd process_, in_, out_, err_;
  std::size_t fed_ = 0;
  bool ended_ = false;
  Outcome outcome_;
};

std::string shortened(const std::string& text) {
  constexpr std::size_t kMost = 300;
  if (text.empty()) return "nothing";
  return text.size() <= kMost ? text : text.substr(0, kMost) + "...";
}

}  // namespace

std::string Outcome::text() const {
  const std::string end = timed_out     ? std::string("no end in time")
                          : signal != 0 ? fmt::format("signal {}", signal)
                                        : fmt::format("exit status {}", status);
  return fmt::format("{}, stdout: {}{}", end, shortened(out),
                     err.empty() ? "" : ", stderr: " + shortened(err));
}

std::vector<Outcome> run_together(const std::vector<Program>& programs) {
  ::signal(SIGPIPE, SIG_IGN);
  std::vector<std::unique_ptr<Running>> all;
  for (const Program& program : programs) all.push_back(std::make_unique<Running>(program));
  while (!std::ranges::all_of(all, [](const auto& one) { return one->ended(); })) {
    std::vector<pollfd> polled;
    for (const auto& one : all) {
      for (const pollfd& entry : one->polled()) polled.push_back(entry);
    }
    const bool hasty = std::ranges::any_of(
        programs, [](const Program& program) { return program.kill_after.count() > 0; });
    if (::poll(polled.data(), polled.size(), hasty ? 1 : 100) < 0 && errno != EINTR) {
      check(-1, "poll programs");
    }
    for (std::size_t i = 0; i < all.size(); ++i) all[i]->serve(&polled[4 * i]);
  }
  std::vector<Outcome> outcomes;
  for (const auto& one : all) outcomes.push_back(one->outcome());
  return outcomes;
}

Outcome run(const Program& program) {
  return run_together({program}).front();
}

}  // namespace conformance
