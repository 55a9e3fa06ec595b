// What a test case can ask of the kernel, by a tag: [vlan], [dummy], ...
#pragma once

#include <map>
#include <set>
#include <string>

namespace cni::test {

// The tags among `tags` that name a need which the kernel here does not meet, with the reason.
// Each is tried in a network namespace of its own. A tag that names no need is ignored.
std::map<std::string, std::string> find_lacks(const std::set<std::string>& tags);

}  // namespace cni::test
