#include "netns/holders.h"

#include <dirent.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include <cerrno>
#include <memory>
#include <vector>

#include "base/error.h"
#include "base/file.h"
#include "base/text.h"

namespace cni::netns {
namespace {

constexpr std::size_t kLongestMountinfo = std::size_t{64} << 20U;  // bytes

struct CloseDirectory {
  void operator()(DIR* directory) const { ::closedir(directory); }
};

void add_process_namespaces(std::map<NetnsId, std::string>& holders) {
  const std::unique_ptr<DIR, CloseDirectory> proc(::opendir("/proc"));
  if (!proc) throw_io_errno("read directory /proc");
  while (const dirent* entry = ::readdir(proc.get())) {
    if (!parse_number<pid_t>(entry->d_name)) continue;
    std::string path = fmt::format("/proc/{}/ns/net", entry->d_name);
    struct stat status{};
    // A process that has just ended holds nothing.
    if (::stat(path.c_str(), &status) != 0) continue;
    holders.try_emplace({.device = status.st_dev, .inode = status.st_ino}, std::move(path));
  }
}

// proc(5) writes blanks and backslashes in mountinfo as three octal digits.
std::string unescape(std::string_view text) {
  std::string out;
  for (std::size_t at = 0; at < text.size(); ++at) {
    if (text[at] == '\\' && at + 3 < text.size()) {
      out += static_cast<char>((text[at + 1] - '0') * 64 + (text[at + 2] - '0') * 8 +
                               (text[at + 3] - '0'));
      at += 3;
    } else {
      out += text[at];
    }
  }
  return out;
}

// A line reads "<id> <parent> <major>:<minor> net:[<inode>] <mount point> ... - nsfs nsfs rw".
// Mounts of the first process count as well: this one may have a mount namespace of its own.
void add_mounted_namespaces(std::map<NetnsId, std::string>& holders, const std::string& process) {
  constexpr std::string_view kPrefix = "net:[";
  const auto mounts = find_file("/proc/" + process + "/mountinfo", kLongestMountinfo);
  for (const std::string& line : split(mounts.value_or(""), '\n')) {
    if (line.find(" - nsfs ") == std::string::npos) continue;
    const std::vector<std::string> fields = split(line, ' ');
    if (fields.size() < 5 || !fields[3].starts_with(kPrefix)) continue;
    const auto inode = parse_number<ino_t>(
        std::string_view(fields[3]).substr(kPrefix.size(), fields[3].size() - kPrefix.size() - 1));
    const std::vector<std::string> device = split(fields[2], ':');
    if (!inode || device.size() != 2) continue;
    const auto major = parse_number<unsigned>(device[0]);
    const auto minor = parse_number<unsigned>(device[1]);
    if (!major || !minor) continue;
    holders.try_emplace({.device = makedev(*major, *minor), .inode = *inode},
                        fmt::format("/proc/{}/root{}", process, unescape(fields[4])));
  }
}

}  // namespace

PathState follow(const std::string& path, const NetnsId& netns) {
  if (path.empty()) return PathState::kGone;
  struct stat status{};
  if (::stat(path.c_str(), &status) != 0) {
    const bool gone = errno == ENOENT || errno == ENOTDIR || errno == ESRCH;
    return gone ? PathState::kGone : PathState::kUnreadable;
  }
  // No other file system has the device number of nsfs.
  const bool same = status.st_dev == netns.device && status.st_ino == netns.inode;
  return same ? PathState::kLeads : PathState::kGone;
}

std::map<NetnsId, std::string> holders() {
  std::map<NetnsId, std::string> holders;
  add_process_namespaces(holders);
  add_mounted_namespaces(holders, "self");
  add_mounted_namespaces(holders, "1");
  return holders;
}

}  // namespace cni::netns
