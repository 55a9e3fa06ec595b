#include "netns/sysctl.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/magic.h>
#include <linux/openat2.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <vector>

#include "base/error.h"
#include "base/log.h"
#include "base/text.h"
#include "base/unique_fd.h"

namespace cni::netns {
namespace {

constexpr const char* kRoot = "/proc/sys";

// Goes down one directory at a time, for kernels (before 5.6) and sandboxes without openat2(2).
UniqueFd walk(UniqueFd directory, const std::vector<std::string>& parts, int flags) {
  for (std::size_t at = 0; at + 1 < parts.size(); ++at) {
    UniqueFd next(::openat(directory.get(), parts[at].c_str(),
                           O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
    if (!next) return next;
    directory = std::move(next);
  }
  return UniqueFd(::openat(directory.get(), parts.back().c_str(), flags | O_NOFOLLOW));
}

// The open sysctl, or no descriptor and errno.
UniqueFd open_sysctl(const std::string& name, int access) {
  const std::vector<std::string> parts = split(name, '/');
  const bool plain = std::ranges::none_of(parts, [](const std::string& part) {
    return part.empty() || part == "." || part == ".." || part.find('\0') != std::string::npos;
  });
  if (!plain) {
    errno = EINVAL;
    return UniqueFd();
  }

  UniqueFd root(::open(kRoot, O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (!root) return root;
  // O_NONBLOCK: until the check below this may be a FIFO on a file system mounted in the way.
  const int flags = access | O_CLOEXEC | O_NONBLOCK | O_NOCTTY;
  open_how how{};
  how.flags = static_cast<std::uint64_t>(flags);
  how.resolve = RESOLVE_NO_SYMLINKS | RESOLVE_BENEATH;
  UniqueFd fd(static_cast<int>(::syscall(SYS_openat2, root.get(), name.c_str(), &how, sizeof how)));
  // EPERM is what some seccomp filters answer for a call they do not know.
  if (!fd && (errno == ENOSYS || errno == EPERM)) fd = walk(std::move(root), parts, flags);
  if (!fd) return fd;

  struct statfs status{};
  if (::fstatfs(fd.get(), &status) != 0) return UniqueFd();
  if (status.f_type != PROC_SUPER_MAGIC) {
    fd.reset();
    errno = EXDEV;
  }
  return fd;
}

}  // namespace

std::optional<std::string> find_sysctl(const std::string& name) {
  const UniqueFd fd = open_sysctl(name, O_RDONLY);
  if (!fd) {
    if (errno == ENOENT) return std::nullopt;
    throw_errno(fmt::format("read sysctl {}", name));
  }
  std::string value;
  std::array<char, 4096> buffer{};
  for (;;) {
    const ssize_t count = ::read(fd.get(), buffer.data(), buffer.size());
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) throw_errno(fmt::format("read sysctl {}", name));
    if (count == 0) break;
    value.append(buffer.data(), static_cast<std::size_t>(count));
  }
  if (value.ends_with('\n')) value.pop_back();
  return value;
}

void set_sysctl(const std::string& name, std::string_view value) {
  const auto fail = [&](int error_number) {
    throw SystemError(error_number, fmt::format("set sysctl {}={}", name, value));
  };
  const UniqueFd fd = open_sysctl(name, O_WRONLY);
  if (!fd) fail(errno);
  // The kernel reads one value per write(2), so there is no going on after a short one.
  ssize_t count = 0;
  do {
    count = ::write(fd.get(), value.data(), value.size());
  } while (count < 0 && errno == EINTR);
  if (count < 0) fail(errno);
  if (static_cast<std::size_t>(count) != value.size()) fail(EINVAL);
}

bool ensure_sysctl(const std::string& name, std::string_view value) {
  if (find_sysctl(name) == value) return false;
  set_sysctl(name, value);
  return true;
}

void try_set_sysctl(const std::string& name, std::string_view value) {
  try {
    set_sysctl(name, value);
  } catch (const SystemError& error) {
    log::warning("cannot {}, ignoring", error.what());
  }
}

}  // namespace cni::netns
