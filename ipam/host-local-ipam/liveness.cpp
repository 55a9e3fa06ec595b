#include "liveness.h"

#include <dirent.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include <algorithm>
#include <cerrno>
#include <memory>

#include "base/error.h"
#include "base/file.h"
#include "base/log.h"
#include "base/text.h"
#include "netlink/address.h"
#include "netlink/netlink_socket.h"
#include "netns/netns.h"

namespace cni::host_local {
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

Liveness::Liveness() : boot_(boot_id()) {}

void Liveness::add_resident(const NetnsId& netns, const std::string& container_id) {
  residents_[netns].insert(container_id);
}

void Liveness::add_resident_if_confirmed(const Stamp& stamp, const std::string& container_id) {
  if (stamp.boot == boot_ && path_confirms(stamp)) add_resident(*stamp.netns, container_id);
}

bool Liveness::runs(const Stamp& stamp) const {
  return stamp.boot == boot_ && stamp.adder && find_process(stamp.adder->pid) == stamp.adder;
}

Liveness::Path Liveness::follow(const Stamp& stamp) {
  if (!stamp.netns || stamp.netns_path.empty()) return Path::kGone;
  struct stat status{};
  if (::stat(stamp.netns_path.c_str(), &status) != 0) {
    const bool gone = errno == ENOENT || errno == ENOTDIR || errno == ESRCH;
    return gone ? Path::kGone : Path::kUnreadable;
  }
  // No other file system has the device number of nsfs.
  const bool same = status.st_dev == stamp.netns->device && status.st_ino == stamp.netns->inode;
  return same ? Path::kLeads : Path::kGone;
}

bool Liveness::depends_on_residents(const Stamp& stamp) {
  return stamp.boot == boot_ && stamp.netns && !runs(stamp) && follow(stamp) == Path::kGone;
}

bool Liveness::path_confirms(const Stamp& stamp) {
  return follow(stamp) == Path::kLeads;
}

Life Liveness::judge(const Stamp& stamp, const Owner& owner, const inet::Address& address) {
  if (runs(stamp)) return Life::kAlive;
  if (stamp.boot != boot_) {
    if (!stamp.netns) return is_configured_anywhere(address) ? Life::kAlive : Life::kDead;
    if (!path_confirms(stamp)) return Life::kDead;
    const bool number_may_be_new = stamp.netns_path.starts_with("/proc/");
    return !number_may_be_new || has_address(stamp.netns_path, address) ? Life::kAlive
                                                                        : Life::kDead;
  }
  if (!stamp.netns) return Life::kUnknown;
  switch (follow(stamp)) {
    case Path::kLeads:
      return Life::kAlive;
    case Path::kUnreadable:
      return Life::kUnknown;
    case Path::kGone:
      break;
  }
  return judge_unconfirmed(stamp, owner);
}

Life Liveness::judge_unconfirmed(const Stamp& stamp, const Owner& owner) {
  if (!holders().contains(*stamp.netns)) return Life::kDead;
  const auto residents = residents_.find(*stamp.netns);
  if (residents == residents_.end()) return Life::kAlive;
  const bool taken_over = std::ranges::any_of(
      residents->second, [&](const std::string& id) { return id != owner.container_id; });
  return taken_over ? Life::kDead : Life::kAlive;
}

bool Liveness::is_in_use(const Stamp& stamp, const inet::Address& address) {
  if (runs(stamp)) return true;
  if (!stamp.netns) return is_configured_anywhere(address);
  if (path_confirms(stamp)) return has_address(stamp.netns_path, address);
  const auto holder = holders().find(*stamp.netns);
  return holder != holders().end() && has_address(holder->second, address);
}

const std::map<NetnsId, std::string>& Liveness::holders() {
  if (!holders_) {
    holders_.emplace();
    add_process_namespaces(*holders_);
    add_mounted_namespaces(*holders_, "self");
    add_mounted_namespaces(*holders_, "1");
  }
  return *holders_;
}

bool Liveness::has_address(const std::string& netns_path, const inet::Address& address) {
  const auto [known, is_new] = addresses_.try_emplace(netns_path);
  if (is_new) {
    if (const auto netns = netns::Netns::find(netns_path)) {
      netlink::Socket socket = netlink::Socket::in(*netns);
      for (const auto& configured : netlink::addresses(socket)) {
        known->second.insert(configured.network.address);
      }
    }
  }
  return known->second.contains(address);
}

bool Liveness::is_configured_anywhere(const inet::Address& address) {
  return std::ranges::any_of(holders(), [&](const auto& holder) {
    try {
      return has_address(holder.second, address);
    } catch (const std::exception& error) {
      // A namespace that has ended meanwhile, or that we may not enter.
      log::debug("{}, passing over this namespace", error.what());
      return false;
    }
  });
}

}  // namespace cni::host_local
