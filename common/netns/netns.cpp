#include "netns/netns.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/magic.h>
#include <linux/nsfs.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <thread>

#include "base/log.h"
#include "base/text.h"

namespace cni::netns {
namespace {

// thread-self: each thread has its own namespace, see setns(2).
constexpr const char* kOwnPath = "/proc/thread-self/ns/net";

std::string attempt(const std::string& path) {
  return fmt::format("failed to open netns {}", in_quotes(path));
}

InvalidNetns not_a_netns(const std::string& path) {
  return {EINVAL, attempt(path), "not a network namespace"};
}

// Looks at the file system before anything is opened: to open a device may already have an effect.
void require_namespace_file(const std::string& path) {
  struct statfs status{};
  if (::statfs(path.c_str(), &status) != 0) {
    const int error_number = errno;
    throw InvalidNetns(error_number,
                       fmt::format("{}: failed to Statfs {}", attempt(path), in_quotes(path)));
  }
  // Every namespace link in /proc leads to nsfs (since Linux 3.19), so a file that is still on
  // procfs is something else, such as /proc/self/mem.
  if (status.f_type == PROC_SUPER_MAGIC) throw not_a_netns(path);
  if (status.f_type != NSFS_MAGIC) {
    throw InvalidNetns(
        EINVAL, attempt(path),
        fmt::format("unknown FS magic on {}: {:x}", in_quotes(path),
                    static_cast<std::make_unsigned_t<decltype(status.f_type)>>(status.f_type)));
  }
}

}  // namespace

Netns Netns::open(const std::string& path) {
  // A path with a NUL would mean another file to the kernel than to us.
  if (path.find('\0') != std::string::npos) throw InvalidNetns(EINVAL, attempt(path));
  require_namespace_file(path);
  UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY));
  if (!fd) {
    const int error_number = errno;
    throw InvalidNetns(error_number, attempt(path));
  }

  // The path may lead elsewhere by now; only the descriptor counts from here on.
  struct statfs file_system{};
  struct stat status{};
  if (::fstatfs(fd.get(), &file_system) != 0 || ::fstat(fd.get(), &status) != 0) {
    const int error_number = errno;
    throw InvalidNetns(error_number, attempt(path));
  }
  if (file_system.f_type != NSFS_MAGIC || ::ioctl(fd.get(), NS_GET_NSTYPE) != CLONE_NEWNET) {
    throw not_a_netns(path);
  }
  return {std::move(fd), path, status.st_dev, status.st_ino};
}

std::optional<Netns> Netns::find(const std::string& path) {
  if (path.empty()) return std::nullopt;
  try {
    return open(path);
  } catch (const InvalidNetns& error) {
    if (error.number() == ENOENT || error.number() == ENOTDIR) return std::nullopt;
    throw;
  }
}

Netns Netns::own() {
  return open(kOwnPath);
}

Scope::Scope(const Netns& netns) : home_(::open(kOwnPath, O_RDONLY | O_CLOEXEC)) {
  if (!home_) throw_errno("open the own network namespace");
  if (::setns(netns.fd(), CLONE_NEWNET) != 0) {
    const int error_number = errno;
    throw InvalidNetns(error_number, fmt::format("enter netns {}", in_quotes(netns.path())));
  }
}

// To stay in the other namespace would be worse than to end without an answer.
Scope::~Scope() {
  constexpr std::chrono::milliseconds kLongest = std::chrono::seconds(1);
  for (std::chrono::milliseconds pause(1); ::setns(home_.get(), CLONE_NEWNET) != 0; pause *= 2) {
    if (pause > kLongest) {
      log::error("cannot return to the own network namespace: {}", errno_text(errno));
      std::_Exit(EXIT_FAILURE);
    }
    // It is open, so only what passes is in the way: setns(2) has no memory, for example. Nothing
    // tells when there is some again, so this cannot wait for an event.
    std::this_thread::sleep_for(pause);
  }
}

}  // namespace cni::netns
