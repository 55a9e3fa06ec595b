// What a network namespace and some directories hold, as text that can be compared: the proof that
// something "changed nothing" or "left nothing behind".
#pragma once

#include <map>
#include <string>
#include <vector>

namespace cni::test {

// Sections by name, each a list of lines:
//   links       name, kind and its settings, admin flags, MTU, MAC, master, alias
//   addresses, neighbours (permanent and proxy), qdiscs, bridge vlans
//   routes      all tables, both families; but not what the kernel derives from IPv6 addresses
//   rules       policy routing
//   nftables, iptables   the rule sets in their order
//   sysctls     net.{ipv4,ipv6}.{conf,neigh} of every link, ip_forward and the like
//   files       path, type, mode, owner, size and digest of everything below the directories
// Left out is what changes by itself: indexes, counters, lifetimes, timers, carrier and
// operational state, progress of duplicate address detection.
class Snapshot {
 public:
  // Of the namespace at `netns` (empty: that of the calling thread) and of `directories`.
  static Snapshot take(const std::string& netns, const std::vector<std::string>& directories = {});

  const std::map<std::string, std::vector<std::string>>& sections() const { return sections_; }

  // Everything, for INFO().
  std::string text() const;

 private:
  std::map<std::string, std::vector<std::string>> sections_;
};

// Empty if both are the same; else the lines that went ("- ") and came ("+ ") under the name of
// their section. Meant for CHECK(difference(before, after) == ""), which prints it.
std::string difference(const Snapshot& before, const Snapshot& after);

}  // namespace cni::test
