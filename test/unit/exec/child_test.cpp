#include "exec/child.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/wait.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <thread>

#include "base/error.h"
#include "base/interruption.h"
#include "base/unique_fd.h"
#include "support/child.h"
#include "support/sandbox.h"

using cni::exec::describe;
using cni::exec::Ending;
using cni::exec::Limits;
using cni::exec::Outcome;
using cni::exec::run_child;
using cni::exec::Stderr;
using cni::test::FakePlugin;
using cni::test::read_whole_file;
using cni::test::TempDirectory;
using std::chrono::milliseconds;
using std::chrono::seconds;

namespace {

const std::vector<std::string> kEnvironment = {"PATH=/usr/sbin:/usr/bin:/sbin:/bin"};

// As in the real main: a child that does not read is no reason to die. A case that changes what is
// done with a signal has it set back at the end.
class SignalAction {
 public:
  SignalAction(int signal, void (*action)(int))
      : signal_(signal), previous_(std::signal(signal, action)) {}
  SignalAction(const SignalAction&) = delete;
  SignalAction& operator=(const SignalAction&) = delete;
  ~SignalAction() { std::signal(signal_, previous_); }

 private:
  int signal_;
  void (*previous_)(int);
};

// A shell script in a directory of its own.
class Script {
 public:
  explicit Script(const std::string& commands)
      : path_(directory_.write("script", "#!/bin/sh\ncd '" + directory_.path() + "'\n" + commands,
                               0755)) {}

  Outcome run(const std::string& input = "", const Limits& limits = {}) const {
    const SignalAction ignored(SIGPIPE, SIG_IGN);
    return run_child(path_, kEnvironment, input, limits, Stderr::kKept);
  }

  const std::string& path() const { return path_; }
  std::string operator/(const std::string& name) const { return directory_ / name; }

 private:
  TempDirectory directory_;
  std::string path_;
};

// Whether a process runs; a zombie does not.
bool runs(pid_t pid) {
  std::ifstream file("/proc/" + std::to_string(pid) + "/stat");
  std::string stat;
  std::getline(file, stat);
  const std::size_t name_end = stat.rfind(") ");
  return name_end != std::string::npos && stat.at(name_end + 2) != 'Z';
}

// Waits for what happens soon if it happens at all.
template <typename Condition>
bool soon(Condition condition) {
  const auto end = std::chrono::steady_clock::now() + seconds(20);
  while (!condition()) {
    if (std::chrono::steady_clock::now() > end) return false;
    ::poll(nullptr, 0, 5);
  }
  return true;
}

// The process number in a file that somebody is about to write.
pid_t pid_in(const std::string& path) {
  std::string text;
  REQUIRE(soon([&] {
    std::ifstream file(path);
    return static_cast<bool>(std::getline(file, text)) && !file.eof();
  }));
  return static_cast<pid_t>(std::stol(text));
}

bool has_children() {
  return ::waitpid(-1, nullptr, WNOHANG) != -1 || errno != ECHILD;
}

}  // namespace

TEST_CASE("a child is fed and heard", "[exec]") {
  const Outcome outcome = Script("cat; echo problem >&2; exit 3").run("in\nput");
  CHECK(outcome.ending == Ending::kExited);
  CHECK(outcome.number == 3);
  CHECK(outcome.out == "in\nput");
  CHECK(outcome.err == "problem\n");
  CHECK_FALSE(has_children());
}

TEST_CASE("a child without input sees its end", "[exec]") {
  const Outcome outcome = Script("cat; echo end").run();
  CHECK(outcome.number == 0);
  CHECK(outcome.out == "end\n");
}

TEST_CASE("bytes pass unchanged, more than a pipe holds", "[exec]") {
  std::string input;
  for (int at = 0; at < 1'000'000; ++at) input += static_cast<char>(at * 7);
  CHECK(Script("exec cat").run(input).out == input);
}

TEST_CASE("the path is the only argument", "[exec]") {
  const Script script("tr '\\0' '\\n' </proc/$$/cmdline");
  CHECK(script.run().out == "/bin/sh\n" + script.path() + "\n");
}

TEST_CASE("the environment is the given one", "[exec]") {
  const Outcome outcome = run_child("/usr/bin/env", {"A=b", "C=d e\n=f", "X="}, "");
  CHECK(outcome.out == "A=b\nC=d e\n=f\nX=\n");
}

TEST_CASE("a child may say much on stderr before it reads and answers", "[exec]") {
  const Outcome outcome =
      Script("head -c 1048576 /dev/zero >&2; cat").run(std::string(1'000'000, 'x'));
  CHECK(outcome.ending == Ending::kExited);
  CHECK(outcome.err == std::string(1'048'576, '\0'));
  CHECK(outcome.out.size() == 1'000'000);
}

TEST_CASE("stderr is passed on unless it is kept", "[exec]") {
  const TempDirectory directory;
  const std::string path = directory.write("stderr", "");
  const Script script("echo one >&2; echo two >&2");
  const int kept = ::fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 3);
  const int file = ::open(path.c_str(), O_WRONLY | O_APPEND | O_CLOEXEC);
  ::dup2(file, STDERR_FILENO);
  ::close(file);
  const Outcome loud = run_child(script.path(), kEnvironment, "");
  const Outcome quiet = run_child(script.path(), kEnvironment, "", {}, Stderr::kKept);
  ::dup2(kept, STDERR_FILENO);
  ::close(kept);
  CHECK(read_whole_file(path) == "one\ntwo\n");
  CHECK(loud.err == "one\ntwo\n");
  CHECK(quiet.err == "one\ntwo\n");
}

TEST_CASE("a child that does not read its input is judged by its answer", "[exec]") {
  const std::string input(1'000'000, 'x');
  for (const char* commands :
       {"echo answer", "exec <&-; echo answer", "head -c 10 >/dev/null; echo answer"}) {
    const Outcome outcome = Script(commands).run(input);
    CHECK(outcome.ending == Ending::kExited);
    CHECK(outcome.number == 0);
    CHECK(outcome.out == "answer\n");
  }
}

TEST_CASE("a child that closes its output early still has a status", "[exec]") {
  const Outcome outcome = Script("echo a; exec >&- 2>&-; sleep 0.1; exit 4").run();
  CHECK(outcome.ending == Ending::kExited);
  CHECK(outcome.number == 4);
  CHECK(outcome.out == "a\n");
}

TEST_CASE("the death of a child by a signal is told", "[exec]") {
  const Outcome outcome = Script("echo a; kill -9 $$").run();
  CHECK(outcome.ending == Ending::kSignalled);
  CHECK(outcome.number == SIGKILL);
  CHECK(outcome.out == "a\n");
  CHECK(describe(outcome) == "signal 9: Killed");
}

TEST_CASE("at the deadline the whole group is killed", "[exec]") {
  const Script script(
      "trap '' TERM; rm -f ready; sleep 1000 & echo $! >grandchild; echo a; : >ready; wait");
  // Until the machine was quick enough for the script to get that far.
  for (milliseconds limit{200};; limit *= 2) {
    const Outcome outcome = script.run("", {.time = limit});
    CHECK(outcome.ending == Ending::kTimedOut);
    CHECK_FALSE(has_children());
    if (::access((script / "ready").c_str(), F_OK) != 0) continue;
    CHECK(outcome.out == "a\n");
    break;
  }
  const pid_t grandchild = pid_in(script / "grandchild");
  CHECK(soon([&] { return !runs(grandchild); }));
}

TEST_CASE("a child that only waits is killed at the deadline", "[exec]") {
  for (const char* commands : {"exec sleep 1000", "exec >&- 2>&-; exec sleep 1000"}) {
    CHECK(Script(commands).run(std::string(1'000'000, 'x'), {.time = milliseconds(100)}).ending ==
          Ending::kTimedOut);
  }
}

TEST_CASE("output has a limit, on each stream", "[exec]") {
  constexpr std::size_t kLimit = 100'000;
  const Limits limits{.output = kLimit};
  CHECK(Script("head -c 100000 /dev/zero; head -c 100000 /dev/zero >&2").run("", limits).ending ==
        Ending::kExited);
  CHECK(Script("head -c 100001 /dev/zero").run("", limits).ending == Ending::kFlooded);
  for (const char* commands :
       {"sh -c 'echo $$ >flood; exec yes' & wait", "sh -c 'echo $$ >flood; exec yes >&2' & wait"}) {
    const Script script(commands);
    const Outcome outcome = script.run("", limits);
    CHECK(outcome.ending == Ending::kFlooded);
    CHECK(outcome.out.size() + outcome.err.size() < 2 * kLimit);
    const pid_t flood = pid_in(script / "flood");
    CHECK(soon([&] { return !runs(flood); }));
  }
  CHECK_FALSE(has_children());
}

TEST_CASE("whoever keeps the output open does not hold up the answer", "[exec]") {
  const Script script("echo $$ >group; (sleep 20; echo late) & echo answer; exit 5");
  const Outcome outcome = script.run("", {.grace = milliseconds(100)});
  CHECK(outcome.ending == Ending::kExited);
  CHECK(outcome.number == 5);
  CHECK(outcome.out == "answer\n");
  ::kill(-pid_in(script / "group"), SIGKILL);
}

TEST_CASE("what a grandchild says within the grace counts", "[exec]") {
  const Outcome outcome =
      Script("(sleep 0.1; echo late) & echo early").run("", {.grace = seconds(30)});
  CHECK(outcome.out == "early\nlate\n");
}

TEST_CASE("a child gets descriptors 0, 1 and 2 only", "[exec]") {
  const TempDirectory directory;
  FakePlugin fake(directory.path(), "fake");
  // Without close-on-exec, low and high.
  const cni::UniqueFd low(::open("/dev/null", O_RDONLY));
  const cni::UniqueFd high(::fcntl(low.get(), F_DUPFD, 900));
  run_child(fake.path(), kEnvironment, "");
  const std::vector<FakePlugin::Call> calls = fake.calls();
  REQUIRE(calls.size() == 1);
  std::vector<int> numbers;
  for (const auto& [number, target] : calls[0].descriptors) {
    CHECK(target.starts_with("pipe:"));
    numbers.push_back(number);
  }
  CHECK(numbers == std::vector<int>{0, 1, 2});
}

TEST_CASE("a child may be started by a process without standard streams", "[exec]") {
  const Script script("cat; echo x >&2; exit 6");
  const pid_t pid = ::fork();
  REQUIRE(pid >= 0);
  if (pid == 0) {
    ::close(0);
    ::close(1);
    ::close(2);
    try {
      const Outcome outcome = run_child(script.path(), kEnvironment, "abc", {}, Stderr::kKept);
      ::_exit(outcome.number == 6 && outcome.out == "abc" && outcome.err == "x\n" ? 0 : 1);
    } catch (...) {
      ::_exit(2);
    }
  }
  int status = 0;
  ::waitpid(pid, &status, 0);
  CHECK(status == 0);
}

TEST_CASE("a child has default signal handling", "[exec]") {
  const SignalAction pipe(SIGPIPE, SIG_IGN);
  const SignalAction hangup(SIGHUP, SIG_IGN);
  const SignalAction user(SIGUSR1, [](int) {});
  sigset_t blocked;
  sigset_t before;
  ::sigemptyset(&blocked);
  ::sigaddset(&blocked, SIGTERM);
  ::sigaddset(&blocked, SIGRTMIN + 3);
  ::pthread_sigmask(SIG_BLOCK, &blocked, &before);
  const Outcome outcome = Script("exec grep -E '^Sig(Blk|Ign)' /proc/self/status").run();
  ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
  CHECK(outcome.out == "SigBlk:\t0000000000000000\nSigIgn:\t0000000000000000\n");
}

TEST_CASE("a child leads a process group of its own", "[exec]") {
  std::istringstream numbers(Script("cut -d ' ' -f 1,5 /proc/$$/stat").run().out);
  pid_t pid = 0;
  pid_t group = 0;
  numbers >> pid >> group;
  CHECK(pid != 0);
  CHECK(pid == group);
}

TEST_CASE("a child dies with whoever started it", "[exec]") {
  const Script script("echo $$ >child; exec sleep 1000");
  const pid_t parent = ::fork();
  REQUIRE(parent >= 0);
  if (parent == 0) {
    run_child(script.path(), kEnvironment, "");
    ::_exit(0);
  }
  const pid_t child = pid_in(script / "child");
  CHECK(runs(child));
  ::kill(parent, SIGKILL);
  ::waitpid(parent, nullptr, 0);
  CHECK(soon([&] { return !runs(child); }));
}

TEST_CASE("the signals of the caller are as before", "[exec]") {
  sigset_t before;
  sigset_t after;
  ::pthread_sigmask(SIG_SETMASK, nullptr, &before);
  Script("exit 0").run();
  CHECK_THROWS(run_child("/absent", kEnvironment, ""));
  ::pthread_sigmask(SIG_SETMASK, nullptr, &after);
  for (int signal = 1; signal < NSIG; ++signal) {
    CHECK(::sigismember(&before, signal) == ::sigismember(&after, signal));
  }
}

TEST_CASE("a caller that ignores the end of its children hears of this one", "[exec]") {
  // Inherited over execve(2), for example from a shell after: trap '' CHLD
  const SignalAction ignored(SIGCHLD, SIG_IGN);
  const Outcome outcome = Script("echo a; exit 3").run("", {.time = seconds(5)});
  CHECK(outcome.ending == Ending::kExited);
  CHECK(outcome.number == 3);
  struct sigaction now{};
  ::sigaction(SIGCHLD, nullptr, &now);
  CHECK(now.sa_handler == SIG_IGN);
}

TEST_CASE("another child of the caller is left alone", "[exec]") {
  const pid_t other = ::fork();
  REQUIRE(other >= 0);
  if (other == 0) ::_exit(9);
  CHECK(Script("exit 3").run().number == 3);
  int status = 0;
  CHECK(::waitpid(other, &status, 0) == other);
  CHECK(WEXITSTATUS(status) == 9);
}

TEST_CASE("a child that cannot be started is an error", "[exec]") {
  const TempDirectory directory;
  const auto error_of = [](const std::string& path) {
    try {
      run_child(path, kEnvironment, "");
      return 0;
    } catch (const cni::SystemError& error) {
      return error.number();
    }
  };
  CHECK(error_of(directory / "absent") == ENOENT);
  CHECK(error_of(directory.write("plain", "#!/bin/sh\n")) == EACCES);
  CHECK(error_of(directory.path()) == EACCES);
  CHECK(error_of(directory.write("format", "exit 0\n", 0755)) == ENOEXEC);
  CHECK(error_of(directory.write("interpreter", "#!/absent\n", 0755)) == ENOENT);
  CHECK_FALSE(has_children());
  CHECK_THROWS_WITH(run_child("/absent", kEnvironment, ""),
                    "fork/exec /absent: no such file or directory");
}

TEST_CASE("a program that is being written is waited for", "[exec]") {
  const Script script("exit 3");
  cni::UniqueFd writer(::open(script.path().c_str(), O_WRONLY | O_CLOEXEC));
  std::thread closer([&] {
    ::poll(nullptr, 0, 100);
    writer.reset();
  });
  const Outcome outcome = script.run();
  closer.join();
  CHECK(outcome.number == 3);
}

TEST_CASE("a program that is being written for long is busy", "[exec]") {
  const Script script("exit 3");
  const cni::UniqueFd writer(::open(script.path().c_str(), O_WRONLY | O_CLOEXEC));
  CHECK_THROWS_AS(script.run(), cni::Busy);
  CHECK_FALSE(has_children());
}

TEST_CASE("endings in words", "[exec]") {
  const auto words = [](Ending ending, int number) {
    return describe({.ending = ending, .number = number, .out = "", .err = ""});
  };
  CHECK(words(Ending::kExited, 3) == "exit status 3");
  CHECK(words(Ending::kSignalled, SIGSEGV) == "signal 11: Segmentation fault");
  CHECK(words(Ending::kSignalled, SIGRTMIN + 1) == "signal " + std::to_string(SIGRTMIN + 1));
  CHECK(words(Ending::kTimedOut, 0) == "no answer in time");
  CHECK(words(Ending::kFlooded, 0) == "more output than is accepted");
}

TEST_CASE("who is interrupted asks the child to stop, and waits for it", "[exec][interruption]") {
  const Script undoes("trap 'echo undone >log; exit 1' TERM\nkill -TERM $PPID\nsleep 30 & wait\n");
  CHECK(cni::test::in_child([&]() -> std::string {
          cni::interruption::listen();
          undoes.run();
          return "went on";
        }) == "interrupted by SIGTERM");
  CHECK(read_whole_file(undoes / "log") == "undone\n");
}

TEST_CASE("a child that does not stop when asked is killed", "[exec][interruption]") {
  const Script deaf("trap '' TERM\nkill -TERM $PPID\nsleep 30 & wait\necho survived >log\n");
  CHECK(cni::test::in_child([&]() -> std::string {
          cni::interruption::listen();
          deaf.run("", {.stop = milliseconds(200)});
          return "went on";
        }) == "interrupted by SIGTERM");
  CHECK_FALSE(std::filesystem::exists(deaf / "log"));
}

TEST_CASE("clean-up runs its children to their end", "[exec][interruption]") {
  const Script cleans("kill -TERM $PPID\nsleep 0.2\necho cleaned >log\n");
  CHECK(cni::test::in_child([&]() -> std::string {
          cni::interruption::listen();
          const cni::interruption::Shield shield;
          cleans.run();
          return "went on";
        }) == "went on");
  CHECK(read_whole_file(cleans / "log") == "cleaned\n");
}

TEST_CASE("who was interrupted may still clean up by a child", "[exec][interruption]") {
  const Script cleans("sleep 0.2\necho cleaned >log\n");
  CHECK(cni::test::in_child([&]() -> std::string {
          cni::interruption::listen();
          ::raise(SIGTERM);
          return describe(cleans.run());
        }) == "exit status 0");
  CHECK(read_whole_file(cleans / "log") == "cleaned\n");
}

TEST_CASE("a child that succeeds although asked to stop is heard", "[exec][interruption]") {
  const Script steady(
      "trap 'stop=1' TERM\nkill -TERM $PPID\nwhile [ -z \"$stop\" ]; do sleep 0.05; "
      "done\necho result\n");
  CHECK(cni::test::in_child([&]() -> std::string {
          cni::interruption::listen();
          return steady.run().out;
        }) == "result\n");
}
