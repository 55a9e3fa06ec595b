#include "support/child.h"

#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <cstddef>
#include <exception>
#include <system_error>

namespace cni::test {
namespace {

[[noreturn]] void fail(const char* attempt) {
  throw std::system_error(errno, std::generic_category(), attempt);
}

[[noreturn]] void run_and_exit(const std::function<std::string()>& function, int output) {
  std::string text;
  try {
    text = function();
  } catch (const std::exception& error) {
    text = error.what();
  }
  const bool written =
      ::write(output, text.data(), text.size()) == static_cast<ssize_t>(text.size());
  ::_exit(written ? 0 : 1);
}

}  // namespace

Child::Child(const std::function<std::string()>& function) {
  std::array<int, 2> ends{};
  if (::pipe2(ends.data(), O_CLOEXEC) != 0) fail("make a pipe");
  pid_ = ::fork();
  if (pid_ < 0) fail("fork");
  if (pid_ == 0) run_and_exit(function, ends[1]);
  ::close(ends[1]);
  output_ = ends[0];
}

Child::~Child() {
  ::close(output_);
  if (pid_ <= 0) return;
  ::kill(pid_, SIGKILL);
  ::waitpid(pid_, nullptr, 0);
}

std::string Child::wait() {
  std::string text;
  std::array<char, 4096> buffer{};
  ssize_t count = 0;
  while ((count = ::read(output_, buffer.data(), buffer.size())) > 0 ||
         (count < 0 && errno == EINTR)) {
    if (count > 0) text.append(buffer.data(), static_cast<std::size_t>(count));
  }
  int status = 0;
  pid_t ended = 0;
  do {
    ended = ::waitpid(pid_, &status, 0);
  } while (ended < 0 && errno == EINTR);
  if (ended != pid_) fail("wait for a child");
  pid_ = 0;
  if (WIFSIGNALED(status)) return "signal " + std::to_string(WTERMSIG(status));
  return text;
}

std::string in_child(const std::function<std::string()>& function) {
  return Child(function).wait();
}

void deny_call(long number, unsigned argument, std::uint32_t value, int error_number) {
  const auto call = static_cast<std::uint32_t>(number);
  // Their lower halves: the machines of the tests are little-endian.
  const auto at = static_cast<std::uint32_t>(offsetof(seccomp_data, args) + argument * 8);
  const auto answer = SECCOMP_RET_ERRNO | static_cast<std::uint32_t>(error_number);
  std::array<sock_filter, 6> code = {{
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, call, 0, 3),
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, at),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, value, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, answer),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  }};
  const sock_fprog program = {.len = code.size(), .filter = code.data()};
  if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 ||
      ::prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) != 0) {
    fail("install a filter");
  }
}

}  // namespace cni::test
