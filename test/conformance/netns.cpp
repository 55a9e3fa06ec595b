#include "netns.h"

#include <fcntl.h>
#include <net/if.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <cstring>
#include <filesystem>
#include <fstream>

namespace conformance {
namespace {

namespace fs = std::filesystem;

void mount_tmpfs(const std::string& path) {
  check(::mount("tmpfs", path.c_str(), "tmpfs", MS_NOSUID | MS_NODEV, "mode=0755"),
        "mount a tmpfs on " + path);
}

void bind_mount(const std::string& from, const std::string& to) {
  check(::mount(from.c_str(), to.c_str(), nullptr, MS_BIND | MS_REC, nullptr),
        "bind " + from + " to " + to);
}

// A private tmpfs at `path` below `parent`, which gets one too if it lacks the directory: nothing
// is made on the machine's own file systems.
void cover(const std::string& parent, const std::string& path) {
  if (!fs::exists(path)) mount_tmpfs(parent);
  fs::create_directories(path);
  mount_tmpfs(path);
}

void become_root_of_user_namespace(uid_t uid, gid_t gid) {
  std::ofstream("/proc/self/setgroups") << "deny";
  std::ofstream("/proc/self/uid_map") << "0 " << uid << " 1";
  std::ofstream("/proc/self/gid_map") << "0 " << gid << " 1";
}

void set_loopback_up() {
  const Fd socket(check(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), "open a socket"));
  ifreq request{};
  std::memcpy(request.ifr_name, "lo", 3);
  request.ifr_flags = IFF_UP;
  check(::ioctl(socket.get(), SIOCSIFFLAGS, &request), "set lo up");
}

Fd own_netns() {
  return Fd(check(::open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC), "open own namespace"));
}

}  // namespace

void enter_private_place(const std::string& plugins) {
  const uid_t uid = ::getuid();
  const gid_t gid = ::getgid();
  const bool root = ::geteuid() == 0;
  check(::unshare(CLONE_NEWNS | CLONE_NEWNET | (root ? 0 : CLONE_NEWUSER)), "unshare namespaces");
  if (!root) become_root_of_user_namespace(uid, gid);
  check(::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr), "make all mounts private");
  // Whatever is about to be covered, this still leads to the folder.
  const Fd folder(check(::open(plugins.c_str(), O_PATH | O_CLOEXEC), "open " + plugins));
  const std::string before = "/proc/self/fd/" + std::to_string(folder.get());
  cover("/var/lib", "/var/lib/cni");
  fs::create_directories("/var/lib/cni/plugins");
  bind_mount(before, "/var/lib/cni/plugins");
  mount_tmpfs("/run");
  fs::create_directories("/run/netns");
  fs::create_directories(kPluginDirectory);
  check(::mount("/var/lib/cni/plugins", kPluginDirectory, nullptr, MS_MOVE, nullptr),
        "move the plugins");
  fs::remove("/var/lib/cni/plugins");
  if (fs::exists("/etc/cni")) mount_tmpfs("/etc/cni");
  // Refused where the outer /sys is partly hidden: then the old one stays.
  static_cast<void>(
      ::mount("sysfs", "/sys", "sysfs", MS_NOSUID | MS_NODEV | MS_NOEXEC | MS_RDONLY, nullptr));
  ::umask(022);
  set_loopback_up();
}

std::string make_netns(const std::string& name) {
  const std::string path = "/run/netns/" + name;
  std::ofstream(path).close();
  const Fd own = own_netns();
  check(::unshare(CLONE_NEWNET), "make a network namespace");
  bind_mount("/proc/thread-self/ns/net", path);
  check(::setns(own.get(), CLONE_NEWNET), "return to the own namespace");
  return path;
}

void delete_netns(const std::string& path) {
  check(::umount2(path.c_str(), MNT_DETACH), "unmount " + path);
  fs::remove(path);
}

void in_netns(const std::string& path, const std::function<void()>& function) {
  const Fd own = own_netns();
  const Fd there(check(::open(path.c_str(), O_RDONLY | O_CLOEXEC), "open " + path));
  check(::setns(there.get(), CLONE_NEWNET), "enter " + path);
  struct Return {
    int fd;
    ~Return() {
      if (::setns(fd, CLONE_NEWNET) != 0) std::abort();
    }
  } const back{own.get()};
  function();
}

}  // namespace conformance
