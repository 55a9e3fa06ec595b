// Which network namespaces there are on this machine, and whether a path still leads to one of
// them.
#pragma once

#include <sys/types.h>

#include <compare>
#include <map>
#include <string>

namespace cni::netns {

// st_dev and st_ino of nsfs (namespaces(7)). A number is used again soon after its namespace
// is gone.
struct NetnsId {
  dev_t device = 0;
  ino_t inode = 0;

  friend auto operator<=>(const NetnsId&, const NetnsId&) = default;
};

enum class PathState {
  kLeads,       // to this namespace
  kGone,        // nothing is there, or something else
  kUnreadable,  // one cannot tell
};
PathState follow(const std::string& path, const NetnsId& netns);

// A path to each namespace that a process or a mount holds; of mounts those of this process and of
// the first one. Throws IoError.
std::map<NetnsId, std::string> holders();

}  // namespace cni::netns
