// What can be seen of host, containers and state, as lines of text.
#pragma once

#include <set>
#include <string>

namespace conformance {

// Interfaces of the host with names that begin so are the checks' own and in no snapshot.
inline constexpr const char* kBaseLink = "base";

using Snapshot = std::multiset<std::string>;

// The calling thread's namespace, those in /run/netns, and the files below /run and /var/lib/cni
// but for locks, hidden directories and last_reserved_ip, which are hints and caches.
Snapshot take_snapshot();

// One namespace alone.
Snapshot take_snapshot_of(const std::string& netns);

// The lines that one of them lacks, with - for `before` and + for `after`; empty if there are none.
std::string difference(const Snapshot& before, const Snapshot& after);

}  // namespace conformance
