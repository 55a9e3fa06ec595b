#include "base/file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>

#include <array>
#include <cerrno>

#include "base/error.h"
#include "base/interruption.h"

namespace cni {

std::string read_all(int fd, std::size_t limit, const std::string& name) {
  std::string data;
  std::array<char, 16384> buffer{};
  for (;;) {
    const ssize_t count = ::read(fd, buffer.data(), buffer.size());
    if (count < 0 && errno == EINTR) {
      interruption::check();
      continue;
    }
    if (count < 0) throw_io_errno(fmt::format("read {}", name));
    if (count == 0) return data;
    data.append(buffer.data(), static_cast<std::size_t>(count));
    if (data.size() > limit) throw IoError(EFBIG, fmt::format("read {}", name));
  }
}

void write_all(int fd, std::string_view data, const std::string& name) {
  while (!data.empty()) {
    const ssize_t count = ::write(fd, data.data(), data.size());
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) throw_io_errno(fmt::format("write {}", name));
    data.remove_prefix(static_cast<std::size_t>(count));
  }
}

std::optional<std::string> find_file(const std::string& path, std::size_t limit) {
  // O_NONBLOCK: opening a FIFO must not wait for a writer.
  const UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY));
  if (!fd) {
    if (errno == ENOENT) return std::nullopt;
    throw_io_errno(fmt::format("open {}", path));
  }
  struct stat status{};
  if (::fstat(fd.get(), &status) != 0) throw_io_errno(fmt::format("stat {}", path));
  if (!S_ISREG(status.st_mode)) {
    throw IoError(S_ISDIR(status.st_mode) ? EISDIR : EINVAL,
                  fmt::format("read {}, which is not a regular file", path));
  }
  return read_all(fd.get(), limit, path);
}

std::string read_file(const std::string& path, std::size_t limit) {
  std::optional<std::string> content = find_file(path, limit);
  if (!content) throw IoError(ENOENT, fmt::format("open {}", path));
  return *std::move(content);
}

bool is_plain_name(std::string_view name) {
  return !name.empty() && name.find('/') == std::string_view::npos &&
         name.find('\0') == std::string_view::npos && name != "." && name != "..";
}

void ensure_directory(const std::string& path, mode_t mode) {
  if (::mkdir(path.c_str(), mode) == 0) return;
  if (errno == ENOENT) {
    const std::size_t slash = path.find_last_of('/');
    if (slash != std::string::npos && slash != 0) {
      ensure_directory(path.substr(0, slash), mode);
      if (::mkdir(path.c_str(), mode) == 0) return;
    }
  }
  if (errno == EEXIST) {
    struct stat status{};
    if (::stat(path.c_str(), &status) == 0 && S_ISDIR(status.st_mode)) return;
    errno = ENOTDIR;
  }
  throw_io_errno(fmt::format("make directory {}", path));
}

bool delete_file_if_exists(const std::string& path) {
  if (::unlink(path.c_str()) == 0) return true;
  if (errno == ENOENT) return false;
  throw_io_errno(fmt::format("delete {}", path));
}

}  // namespace cni
