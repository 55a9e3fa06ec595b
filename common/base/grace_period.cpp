#include "base/grace_period.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <string>
#include <vector>

#include "base/descriptors.h"
#include "base/error.h"
#include "base/file.h"
#include "base/unique_fd.h"

namespace cni::grace_period {
namespace {

constexpr const char* kDirectory = "/run/cni/plumb";
constexpr const char* kFile = "/run/cni/plumb/grace-period.lock";
constexpr mode_t kDirectoryMode = 0755;
constexpr mode_t kFileMode = 0640;
constexpr std::size_t kMostChildren = 64;
// Until the rules that were removed are freed.
constexpr int kRulesMs = 40;
constexpr std::size_t kLongestStat = 4096;

bool allowed = false;
bool rules_removed = false;
std::vector<int> kept;  // descriptors

// A child that was made. Its place in the file is locked (F_OFD_SETLK) while it lives.
struct Entry {
  pid_t child;
  pid_t parent;
};

struct Place {
  UniqueFd file;
  off_t offset;
};

UniqueFd open_file() {
  constexpr int kFlags = O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK;
  UniqueFd file(::open(kFile, kFlags, kFileMode));
  if (!file && errno == ENOENT) {
    ensure_directory(kDirectory, kDirectoryMode);
    file = UniqueFd(::open(kFile, kFlags, kFileMode));
  }
  return file;
}

// Whether a child has ended, its parent too, and nobody has taken it away.
bool is_abandoned(const Entry& entry) {
  if (entry.child <= 0) return false;
  std::optional<std::string> stat;
  try {
    stat = find_file(fmt::format("/proc/{}/stat", entry.child), kLongestStat);
  } catch (const IoError&) {
    return false;  // it is being taken away
  }
  // "<pid> (<name>) <state> <parent> ...", proc_pid_stat(5); a name may hold anything.
  const std::size_t name_end = stat ? stat->rfind(')') : std::string::npos;
  if (name_end == std::string::npos) return false;
  const std::string after = stat->substr(name_end + 1);
  return after.starts_with(" Z ") && !after.starts_with(fmt::format(" Z {} ", entry.parent));
}

std::optional<Place> find_place() {
  UniqueFd file = open_file();
  if (!file) return std::nullopt;
  for (std::size_t number = 0; number < kMostChildren; ++number) {
    const auto offset = static_cast<off_t>(number * sizeof(Entry));
    struct flock lock{};
    lock.l_type = F_WRLCK;
    lock.l_whence = SEEK_SET;
    lock.l_start = offset;
    lock.l_len = sizeof(Entry);
    if (::fcntl(file.get(), F_OFD_SETLK, &lock) != 0) continue;
    Entry last{};
    const bool known = ::pread(file.get(), &last, sizeof last, offset) == sizeof last;
    if (known && is_abandoned(last)) return std::nullopt;
    return Place{.file = std::move(file), .offset = offset};
  }
  return std::nullopt;
}

[[noreturn]] void be_child(const std::vector<int>& needed, const std::function<void()>& work) {
  close_all_but(needed);
  if (::chdir("/") != 0) ::_exit(1);
  try {
    work();
  } catch (...) {
    ::_exit(1);
  }
  ::_exit(0);
}

// Whether a child of anybody lives.
bool somebody_waits() {
  const UniqueFd file(::open(kFile, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK));
  struct flock lock{};
  lock.l_type = F_WRLCK;
  lock.l_whence = SEEK_SET;  // from the start to the end, whatever that is
  return file && ::fcntl(file.get(), F_OFD_GETLK, &lock) == 0 && lock.l_type != F_UNLCK;
}

void forget_kept() {
  for (const int fd : kept) ::close(fd);
  kept.clear();
}

}  // namespace

void allow() {
  allowed = true;
}

std::optional<pid_t> leave(int needed, const std::function<void()>& work) {
  if (!allowed) return std::nullopt;
  try {
    const std::optional<Place> place = find_place();
    if (!place) return std::nullopt;
    std::vector<int> descriptors = kept;
    descriptors.push_back(place->file.get());
    if (needed >= 0) descriptors.push_back(needed);
    std::ranges::sort(descriptors);
    const pid_t parent = ::getpid();
    const pid_t child = ::fork();
    if (child < 0) return std::nullopt;
    if (child == 0) {
      const Entry entry{.child = ::getpid(), .parent = parent};
      if (::pwrite(place->file.get(), &entry, sizeof entry, place->offset) != sizeof entry) {
        ::_exit(1);
      }
      be_child(descriptors, work);
    }
    forget_kept();
    return child;
  } catch (const std::exception&) {
    return std::nullopt;  // no memory, no file
  }
}

void rules_were_removed() {
  rules_removed = true;
}

void close_later(int netfilter_socket) {
  if (!allowed) return;
  const int duplicate = ::fcntl(netfilter_socket, F_DUPFD_CLOEXEC, 0);
  if (duplicate < 0) return;
  try {
    kept.push_back(duplicate);
  } catch (const std::bad_alloc&) {
    ::close(duplicate);
  }
}

void finish() {
  if (kept.empty() || (!rules_removed && !somebody_waits())) return;
  leave(-1, [] { ::poll(nullptr, 0, kRulesMs); });
}

}  // namespace cni::grace_period
