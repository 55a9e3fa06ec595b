#include "support/isolation.h"

#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <iostream>
#include <string>
#include <system_error>

#include "support/sandbox.h"

namespace cni::test {
namespace {

void check(int result, const std::string& attempt) {
  if (result < 0) throw std::system_error(errno, std::system_category(), attempt);
}

void write_proc(const std::string& path, const std::string& text) {
  const int fd = ::open(path.c_str(), O_WRONLY | O_CLOEXEC);
  check(fd, "open " + path);
  const ssize_t written = ::write(fd, text.data(), text.size());
  const int number = errno;
  ::close(fd);
  errno = number;
  check(written < 0 ? -1 : 0, "write " + path);
}

void mount_tmpfs(const std::string& path) {
  check(::mount("tmpfs", path.c_str(), "tmpfs", MS_NOSUID | MS_NODEV, "mode=0755"),
        "mount a tmpfs on " + path);
}

void make_directory(const std::string& path, mode_t mode) {
  if (::mkdir(path.c_str(), mode) != 0 && errno != EEXIST) check(-1, "make directory " + path);
}

// Waits for `child` and ends as it did; what else it gets to wait for are orphans.
[[noreturn]] void end_with(pid_t child) {
  int status = 0;
  pid_t ended = 0;
  do {
    ended = ::wait(&status);
  } while (ended != child && (ended > 0 || errno == EINTR));
  if (ended == child && WIFSIGNALED(status)) {
    std::cerr << "FAILED: the process of the tests was killed by SIG"
              << ::sigabbrev_np(WTERMSIG(status)) << '\n';
  }
  ::_exit(ended == child && WIFEXITED(status) ? WEXITSTATUS(status) : EXIT_FAILURE);
}

// Returns in a child only. Killed with its parent; and the last process of a process namespace is
// killed with the first.
void go_on_in_child() {
  const pid_t child = ::fork();
  check(child, "fork");
  if (child > 0) end_with(child);
  check(::prctl(PR_SET_PDEATHSIG, SIGKILL), "ask to be killed with the parent");
}

}  // namespace

void enter_private_namespaces() {
  const uid_t uid = ::getuid();
  const gid_t gid = ::getgid();
  const bool root = ::geteuid() == 0;
  check(::unshare(CLONE_NEWNS | CLONE_NEWNET | (root ? CLONE_NEWPID : CLONE_NEWUSER)),
        root ? "unshare the mount, network and process namespaces"
             : "unshare the user, mount and network namespaces");
  if (!root) {
    // user_namespaces(7): without privileges setgroups(2) must be given up before gid_map.
    write_proc("/proc/self/setgroups", "deny");
    write_proc("/proc/self/uid_map", "0 " + std::to_string(uid) + " 1");
    write_proc("/proc/self/gid_map", "0 " + std::to_string(gid) + " 1");
  }
  check(::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr), "make all mounts private");
  if (root) {
    go_on_in_child();  // the init of the process namespace
    check(::mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, nullptr),
          "mount /proc");
    go_on_in_child();
  }
  mount_tmpfs("/run");
  make_directory("/run/netns", 0755);
  make_directory("/run/lock", 0755);
  make_directory("/run/tmp", 0755);
  // The machine need not have /var/lib/cni, and it is not to be made there.
  if (::access("/var/lib/cni", F_OK) != 0) {
    mount_tmpfs("/var/lib");
    make_directory("/var/lib/cni", 0755);
  }
  mount_tmpfs("/var/lib/cni");
  // Refused in a user namespace if the outer /sys is partly hidden: then the old one stays.
  static_cast<void>(
      ::mount("sysfs", "/sys", "sysfs", MS_NOSUID | MS_NODEV | MS_NOEXEC | MS_RDONLY, nullptr));
  check(::setenv("TMPDIR", "/run/tmp", 1), "set TMPDIR");
  // The strict mode of delegation refuses plugins that others may write.
  ::umask(022);
  set_loopback_up();
}

}  // namespace cni::test
