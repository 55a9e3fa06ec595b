#include "netns/sysctl.h"

#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <cerrno>
#include <cstddef>
#include <functional>
#include <string>

#include "base/error.h"
#include "support/sandbox.h"
#include "support/two_namespaces.h"

using Catch::Matchers::Equals;
using namespace cni::netns;  // NOLINT(google-build-using-namespace)
using cni::SystemError;
using cni::test::Host;
using cni::test::Inside;

namespace {

constexpr const char* kForward = "net/ipv4/ip_forward";

int number_of_failure(const std::function<void()>& attempt) {
  try {
    attempt();
  } catch (const SystemError& error) {
    return error.number();
  }
  return 0;
}

// Runs `check` in a child process and returns its exit status.
int in_child(const std::function<bool()>& check) {
  const pid_t child = ::fork();
  if (child == 0) {
    int status = 1;
    try {
      status = check() ? 0 : 1;
    } catch (const std::exception& error) {
      ::write(STDERR_FILENO, error.what(), std::char_traits<char>::length(error.what()));
    }
    ::_exit(status);
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

// From here on openat2(2) is a call that the kernel does not know.
void forbid_openat2() {
  sock_filter rules[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_openat2, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  sock_fprog program{.len = 4, .filter = rules};
  if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 ||
      ::prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) != 0) {
    cni::throw_errno("install a filter");
  }
  errno = 0;
  if (::syscall(SYS_openat2, -1, "", nullptr, 0) != -1 || errno != ENOSYS) {
    cni::throw_errno("have openat2 filtered");
  }
}

// What has to hold with openat2 and without.
bool refuses_detours() {
  return number_of_failure([] { find_sysctl("net/../kernel/hostname"); }) == EINVAL &&
         number_of_failure([] { find_sysctl("/proc/sys/net/ipv4/ip_forward"); }) == EINVAL &&
         number_of_failure([] { find_sysctl("net//ipv4/ip_forward"); }) == EINVAL &&
         number_of_failure([] { find_sysctl("net/./ipv4/ip_forward"); }) == EINVAL &&
         number_of_failure([] { find_sysctl(""); }) == EINVAL &&
         number_of_failure([] { find_sysctl("net/ipv4"); }) == EISDIR &&
         !find_sysctl("net/ipv4/no_such_thing") && !find_sysctl("net/ipv4/conf/nope/forwarding");
}

}  // namespace

TEST_CASE("a sysctl is read and set in the namespace of the thread", "[sysctl]") {
  Host host;
  const Inside inside(host);
  CHECK(find_sysctl(kForward) == "0");
  set_sysctl(kForward, "1");
  CHECK(find_sysctl(kForward) == "1");
  const Host other;
  const Inside elsewhere(other);
  CHECK(find_sysctl(kForward) == "0");
}

TEST_CASE("a sysctl that has its value is not written", "[sysctl]") {
  Host host;
  const Inside inside(host);
  CHECK_FALSE(ensure_sysctl(kForward, "0"));
  CHECK(ensure_sysctl(kForward, "1"));
  CHECK_FALSE(ensure_sysctl(kForward, "1"));
  CHECK(find_sysctl(kForward) == "1");
}

TEST_CASE("names with dots belong to one interface", "[sysctl]") {
  Host host;
  host.run("ip link add a.5 type veth peer name b");
  const Inside inside(host);
  set_sysctl("net/ipv4/conf/a.5/arp_notify", "1");
  CHECK(find_sysctl("net/ipv4/conf/a.5/arp_notify") == "1");
}

TEST_CASE("what cannot be set is told with name and value", "[sysctl]") {
  Host host;
  const Inside inside(host);
  CHECK_THROWS_WITH(set_sysctl("net/ipv4/nope", "1"),
                    "set sysctl net/ipv4/nope=1: no such file or directory");
  CHECK_THROWS_WITH(set_sysctl(kForward, "x"),
                    "set sysctl net/ipv4/ip_forward=x: invalid argument");
  CHECK_NOTHROW(try_set_sysctl("net/ipv4/nope", "1"));
  CHECK_THROWS_AS(ensure_sysctl("net/ipv4/nope", "1"), SystemError);
}

TEST_CASE("a name leads nowhere but below /proc/sys", "[sysctl]") {
  Host host;
  const Inside inside(host);
  CHECK(refuses_detours());
}

TEST_CASE("kernels without openat2 give the same answers", "[sysctl]") {
  Host host;
  const Inside inside(host);
  CHECK(in_child([] {
          forbid_openat2();
          set_sysctl(kForward, "1");
          return find_sysctl(kForward) == "1" && refuses_detours();
        }) == 0);
}

TEST_CASE("a /proc/sys that is not procfs is not touched", "[sysctl]") {
  Host host;
  const Inside inside(host);
  for (const bool with_openat2 : {true, false}) {
    CHECK(in_child([&] {
            // The child has a mount namespace of its own.
            if (::unshare(CLONE_NEWNS) != 0) cni::throw_errno("unshare");
            if (::mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0 ||
                ::mount("none", "/proc/sys", "tmpfs", 0, nullptr) != 0) {
              cni::throw_errno("mount");
            }
            ::mkdir("/proc/sys/net", 0700);
            ::mkdir("/proc/sys/net/real", 0700);
            cni::test::write_file("/proc/sys/net/real/file", "old");
            ::symlink("real", "/proc/sys/net/linked");
            ::symlink("real/file", "/proc/sys/net/file");
            ::mkfifo("/proc/sys/net/fifo", 0600);
            if (!with_openat2) forbid_openat2();
            const auto failure = [](const std::string& name) {
              return number_of_failure([&] { set_sysctl(name, "new"); });
            };
            const int through_link = failure("net/linked/file");
            return failure("net/real/file") == EXDEV &&
                   (through_link == ELOOP || through_link == ENOTDIR) &&
                   failure("net/file") == ELOOP && failure("net/fifo") == ENXIO &&
                   number_of_failure([] { find_sysctl("net/fifo"); }) == EXDEV &&
                   cni::test::read_whole_file("/proc/sys/net/real/file") == "old";
          }) == 0);
  }
}
