#include "state/directory_store.h"

#include <dirent.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/random.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <ctime>
#include <memory>

#include "base/error.h"
#include "base/file.h"

namespace cni::state {
namespace {

constexpr const char* kTemporary = ".new";
constexpr int kOpenDirectory = O_RDONLY | O_CLOEXEC | O_DIRECTORY;
constexpr int kOpenFile = O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY;

// What openat(2) says to a link, a socket or a FIFO nobody reads, and a directory to be written.
bool is_foreign(int error_number) {
  return error_number == ELOOP || error_number == ENXIO || error_number == EISDIR;
}

// O_TMPFILE is newer than some kernels and file systems (open(2)).
bool lacks_unnamed_files(int error_number) {
  return error_number == EOPNOTSUPP || error_number == EISDIR || error_number == EINVAL;
}

struct CloseDirectory {
  void operator()(DIR* directory) const { ::closedir(directory); }
};

void sync_directory(int fd, const std::string& path) {
  if (::fsync(fd) != 0) throw_io_errno(fmt::format("sync {}", path));
}

// Gives an unnamed file its name. Returns false if the name is taken; nothing if this way is
// closed.
std::optional<bool> link_unnamed(int file, int directory, const std::string& name) {
  // Needs CAP_DAC_READ_SEARCH; the way through /proc needs /proc.
  if (::linkat(file, "", directory, name.c_str(), AT_EMPTY_PATH) == 0) return true;
  if (errno == EEXIST) return false;
  const std::string path = fmt::format("/proc/self/fd/{}", file);
  if (::linkat(AT_FDCWD, path.c_str(), directory, name.c_str(), AT_SYMLINK_FOLLOW) == 0) {
    return true;
  }
  if (errno == EEXIST) return false;
  return std::nullopt;
}

}  // namespace

std::optional<DirectoryStore> DirectoryStore::find(const std::string& path) {
  UniqueFd fd(::open(path.c_str(), kOpenDirectory));
  if (!fd) {
    if (errno == ENOENT) return std::nullopt;
    throw_io_errno(fmt::format("open directory {}", path));
  }
  return DirectoryStore(std::move(fd), path);
}

DirectoryStore DirectoryStore::ensure(const std::string& path, mode_t mode) {
  if (auto found = find(path)) return *std::move(found);
  cni::ensure_directory(path, mode);
  UniqueFd fd(::open(path.c_str(), kOpenDirectory));
  if (!fd) throw_io_errno(fmt::format("open directory {}", path));
  return {std::move(fd), path};
}

std::optional<DirectoryStore> DirectoryStore::find_below(const std::string& name) const {
  UniqueFd fd(::openat(fd_.get(), name.c_str(), kOpenDirectory | O_NOFOLLOW));
  if (!fd) {
    if (errno == ENOENT || errno == ENOTDIR || errno == ELOOP) return std::nullopt;
    throw_io_errno(fmt::format("open directory {}", path_of(name)));
  }
  return DirectoryStore(std::move(fd), path_of(name));
}

DirectoryStore DirectoryStore::ensure_below(const std::string& name, mode_t mode) const {
  if (auto found = find_below(name)) return *std::move(found);
  if (::mkdirat(fd_.get(), name.c_str(), mode) != 0 && errno != EEXIST) {
    throw_io_errno(fmt::format("make directory {}", path_of(name)));
  }
  UniqueFd fd(::openat(fd_.get(), name.c_str(), kOpenDirectory | O_NOFOLLOW));
  if (!fd) throw_io_errno(fmt::format("open directory {}", path_of(name)));
  return {std::move(fd), path_of(name)};
}

Found DirectoryStore::read(const std::string& name, std::size_t limit, std::size_t offset) const {
  const UniqueFd fd(::openat(fd_.get(), name.c_str(), kOpenFile | O_RDONLY));
  if (!fd) {
    if (errno == ENOENT) return {};
    if (is_foreign(errno)) return {.kind = Kind::kForeign};
    throw_io_errno(fmt::format("open {}", path_of(name)));
  }
  struct stat status{};
  if (::fstat(fd.get(), &status) != 0) throw_io_errno(fmt::format("stat {}", path_of(name)));
  if (!S_ISREG(status.st_mode)) return {.kind = Kind::kForeign};

  const auto whole = static_cast<std::size_t>(status.st_size);
  const std::size_t size = whole - std::min(whole, offset);
  Found found{.kind = Kind::kFile, .complete = size <= limit, .size = whole};
  found.content.resize(std::min(size, limit));
  std::size_t done = 0;
  while (done < found.content.size()) {
    const ssize_t count = ::pread(fd.get(), found.content.data() + done,
                                  found.content.size() - done, static_cast<off_t>(offset + done));
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) throw_io_errno(fmt::format("read {}", path_of(name)));
    if (count == 0) break;
    done += static_cast<std::size_t>(count);
  }
  found.content.resize(done);
  return found;
}

bool DirectoryStore::create(const std::string& name, std::string_view content, mode_t mode) const {
  const UniqueFd unnamed(::openat(fd_.get(), ".", O_TMPFILE | O_WRONLY | O_CLOEXEC, mode));
  if (unnamed) {
    write_all(unnamed.get(), content, path_of(name));
    if (const auto linked = link_unnamed(unnamed.get(), fd_.get(), name)) return *linked;
    // Full disks and the like say the same again below, and are reported from there.
  } else if (!lacks_unnamed_files(errno)) {
    throw_io_errno(fmt::format("create {}", path_of(name)));
  }

  if (::unlinkat(fd_.get(), kTemporary, 0) != 0 && errno != ENOENT) {
    throw_io_errno(fmt::format("delete {}", path_of(kTemporary)));
  }
  const UniqueFd fd(::openat(fd_.get(), kTemporary, kOpenFile | O_WRONLY | O_CREAT | O_EXCL, mode));
  if (!fd) throw_io_errno(fmt::format("create {}", path_of(name)));
  int error_number = 0;
  try {
    write_all(fd.get(), content, path_of(name));
    if (::linkat(fd_.get(), kTemporary, fd_.get(), name.c_str(), 0) != 0) error_number = errno;
  } catch (...) {
    ::unlinkat(fd_.get(), kTemporary, 0);
    throw;
  }
  ::unlinkat(fd_.get(), kTemporary, 0);
  if (error_number == EEXIST) return false;
  if (error_number != 0) throw IoError(error_number, fmt::format("create {}", path_of(name)));
  return true;
}

void DirectoryStore::replace(const std::string& name, std::string_view content, mode_t mode,
                             Durability durability) const {
  constexpr int kFlags = kOpenFile | O_WRONLY | O_CREAT | O_EXCL;
  UniqueFd fd(::openat(fd_.get(), kTemporary, kFlags, mode));
  if (!fd && errno == EEXIST) {
    // Left by somebody who was killed.
    delete_if_exists(kTemporary);
    fd = UniqueFd(::openat(fd_.get(), kTemporary, kFlags, mode));
  }
  if (!fd) throw_io_errno(fmt::format("create {}", path_of(kTemporary)));
  try {
    write_all(fd.get(), content, path_of(kTemporary));
    if (durability == Durability::kReboot && ::fdatasync(fd.get()) != 0) {
      throw_io_errno(fmt::format("sync {}", path_of(kTemporary)));
    }
    if (::renameat(fd_.get(), kTemporary, fd_.get(), name.c_str()) != 0) {
      throw_io_errno(fmt::format("replace {}", path_of(name)));
    }
  } catch (...) {
    ::unlinkat(fd_.get(), kTemporary, 0);
    throw;
  }
  if (durability == Durability::kReboot) sync_directory(fd_.get(), path_);
}

UniqueFd DirectoryStore::open_for_writing(const std::string& name, mode_t mode) const {
  UniqueFd fd(::openat(fd_.get(), name.c_str(), kOpenFile | O_WRONLY | O_CREAT, mode));
  if (!fd) throw_io_errno(fmt::format("open {}", path_of(name)));
  struct stat status{};
  if (::fstat(fd.get(), &status) != 0) throw_io_errno(fmt::format("stat {}", path_of(name)));
  if (!S_ISREG(status.st_mode)) {
    throw IoError(EINVAL, fmt::format("write {}, which is not a regular file", path_of(name)));
  }
  return fd;
}

void DirectoryStore::write_at(const std::string& name, std::size_t offset, std::string_view content,
                              mode_t mode) const {
  const UniqueFd fd = open_for_writing(name, mode);
  if (::lseek(fd.get(), static_cast<off_t>(offset), SEEK_SET) < 0) {
    throw_io_errno(fmt::format("seek in {}", path_of(name)));
  }
  write_all(fd.get(), content, path_of(name));
}

void DirectoryStore::overwrite(const std::string& name, std::string_view content,
                               mode_t mode) const {
  const UniqueFd fd = open_for_writing(name, mode);
  write_all(fd.get(), content, path_of(name));
  if (::ftruncate(fd.get(), static_cast<off_t>(content.size())) != 0) {
    throw_io_errno(fmt::format("truncate {}", path_of(name)));
  }
}

bool DirectoryStore::delete_if_exists(const std::string& name) const {
  if (::unlinkat(fd_.get(), name.c_str(), 0) == 0) return true;
  if (errno == ENOENT) return false;
  throw_io_errno(fmt::format("delete {}", path_of(name)));
}

std::vector<std::string> DirectoryStore::names() const {
  // A second description, since reading moves the offset.
  const int fd = ::openat(fd_.get(), ".", kOpenDirectory);
  if (fd < 0) throw_io_errno(fmt::format("open directory {}", path_));
  const std::unique_ptr<DIR, CloseDirectory> directory(::fdopendir(fd));
  if (!directory) {
    const int error_number = errno;
    ::close(fd);
    throw IoError(error_number, fmt::format("read directory {}", path_));
  }
  std::vector<std::string> names;
  for (;;) {
    errno = 0;
    const dirent* entry = ::readdir(directory.get());
    if (entry == nullptr) break;
    const std::string_view name = entry->d_name;
    if (name != "." && name != "..") names.emplace_back(name);
  }
  if (errno != 0) throw_io_errno(fmt::format("read directory {}", path_));
  return names;
}

Mark DirectoryStore::mark() const {
  struct stat status{};
  if (::fstat(fd_.get(), &status) != 0) throw_io_errno(fmt::format("stat {}", path_));
  return {.seconds = status.st_mtim.tv_sec, .nanoseconds = status.st_mtim.tv_nsec};
}

std::optional<Mark> DirectoryStore::set_new_mark() const {
  std::uint32_t random = 0;
  timespec now{};
  if (::getrandom(&random, sizeof random, 0) != sizeof random ||
      ::clock_gettime(CLOCK_REALTIME, &now) != 0) {
    return std::nullopt;
  }
  // Nanoseconds by lot: that the kernel later stamps this directory with just this value is a
  // matter of one in 10^9, and only within this very second.
  const timespec wanted = {.tv_sec = now.tv_sec, .tv_nsec = 1 + random % 999'999'999};
  const timespec times[2] = {{.tv_sec = 0, .tv_nsec = UTIME_OMIT}, wanted};
  if (::futimens(fd_.get(), times) != 0) return std::nullopt;
  const Mark set = mark();
  if (set != Mark{.seconds = wanted.tv_sec, .nanoseconds = wanted.tv_nsec}) return std::nullopt;
  return set;
}

}  // namespace cni::state
