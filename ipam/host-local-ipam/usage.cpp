#include "usage.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <vector>

#include "base/error.h"
#include "base/unique_fd.h"
#include "dynamic_part.h"

namespace cni::host_local {
namespace {

std::string parent_of(const std::string& path) {
  const std::size_t slash = path.find_last_of('/');
  if (slash == std::string::npos) return ".";
  return slash == 0 ? "/" : path.substr(0, slash);
}

bool has_unused_address(Pool& pool, const Config& config, const RangeSet& set) {
  return std::ranges::any_of(set.ranges, [&](const Range& range) {
    const auto find = [&](const Interval& interval) { return pool.find_unused(interval); };
    return DynamicPart(range, config.reserved).find_first(range.addresses, find).has_value();
  });
}

std::vector<inet::Address> addresses_of_dead(Pool& pool, const Config& config) {
  std::vector<inet::Address> addresses;
  if (!config.reclaim) return addresses;
  for (const Lease& lease : pool.leases()) {
    if (lease.life == Life::kDead) addresses.push_back(lease.reservation.address);
  }
  return addresses;
}

std::vector<inet::Address> held_too_long(Pool& pool, const Config& config) {
  std::vector<inet::Address> addresses;
  if (!config.reclaim) return addresses;
  const auto ttl = config.release.sticky.value_or(std::chrono::nanoseconds{0});
  for (const Hold& hold : pool.holds().all()) {
    if (!pool.holds().expired(hold, ttl)) continue;
    std::ranges::copy_if(
        hold.addresses, std::back_inserter(addresses),
        [&](const inet::Address& address) { return pool.holds().held().contains(address); });
  }
  return addresses;
}

}  // namespace

std::optional<std::string> find_directory_problem(const std::string& path) {
  std::string existing = path;
  while (::access(existing.c_str(), F_OK) != 0 && errno == ENOENT && existing != "/" &&
         existing != ".") {
    existing = parent_of(existing);
  }
  const UniqueFd fd(::open(existing.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (!fd) return fmt::format("open directory {}: {}", existing, errno_text(errno));
  if (::faccessat(AT_FDCWD, existing.c_str(), W_OK | X_OK, AT_EACCESS) != 0) {
    return fmt::format("write in directory {}: {}", existing, errno_text(errno));
  }
  struct statvfs status{};
  if (::fstatvfs(fd.get(), &status) == 0) {
    // A file system without a limit says that it has none in all.
    const bool no_inodes = status.f_files != 0 && status.f_favail == 0;
    const bool no_space = status.f_blocks != 0 && status.f_bavail == 0;
    if (no_inodes || no_space) {
      return fmt::format("write in directory {}: {}", existing, errno_text(ENOSPC));
    }
  }
  return std::nullopt;
}

const RangeSet* find_exhausted_set(Pool& pool, const Config& config) {
  std::optional<std::vector<inet::Address>> spare;
  for (const RangeSet& set : config.sets) {
    if (has_unused_address(pool, config, set)) continue;
    if (!spare) {
      // The bits may be wrong; now they are made from the files.
      pool.read_again();
      pool.holds().recount();
      spare = addresses_of_dead(pool, config);
      std::ranges::copy(held_too_long(pool, config), std::back_inserter(*spare));
    }
    if (has_unused_address(pool, config, set)) continue;
    const bool has_spare = std::ranges::any_of(set.ranges, [&](const Range& range) {
      const DynamicPart dynamic(range, config.reserved);
      return std::ranges::any_of(
          *spare, [&](const inet::Address& address) { return dynamic.contains(address); });
    });
    if (!has_spare) return &set;
  }
  return nullptr;
}

std::string describe_usage(Pool& pool, const Config& config) {
  const std::vector<inet::Address> dead = addresses_of_dead(pool, config);
  const std::vector<inet::Address> too_long = held_too_long(pool, config);
  std::vector<std::string> lines;
  for (const RangeSet& set : config.sets) {
    for (const Range& range : set.ranges) {
      const DynamicPart dynamic(range, config.reserved);
      const auto inside = [&](const inet::Address& address) { return dynamic.contains(address); };
      const auto count = [&](AddressSet& addresses) {
        return dynamic.count([&](const Interval& part) { return addresses.count(part); });
      };
      lines.push_back(
          fmt::format("{} ({}): {} used, {} reclaimable, {} cooling down, {} held, {} total",
                      range.subnet.text(), range.addresses.text(), count(pool.used()),
                      std::ranges::count_if(dead, inside), count(pool.cooldown().cooling()),
                      count(pool.holds().held()) -
                          static_cast<std::size_t>(std::ranges::count_if(too_long, inside)),
                      dynamic.size()));
    }
  }
  return fmt::format("{}", fmt::join(lines, "\n"));
}

}  // namespace cni::host_local
