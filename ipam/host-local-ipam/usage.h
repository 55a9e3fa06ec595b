// What STATUS finds out: whether the next ADD would get its addresses.
#pragma once

#include <optional>
#include <string>

#include "config.h"
#include "pool.h"

namespace cni::host_local {

// Why state cannot be written into the directory, which need not exist yet; nothing if it can, as
// far as can be seen without trying.
std::optional<std::string> find_directory_problem(const std::string& path);

// The first set that has nothing to give, not even what may be reclaimed. Reads every reservation
// only if a set seems full.
const RangeSet* find_exhausted_set(Pool& pool, const Config& config);

// A line for each range, such as
// "10.1.2.0/28 (10.1.2.1-10.1.2.14): 13 used, 2 reclaimable, 0 cooling down, 0 held, 13 total".
// The counts leave out the gateway and reserved addresses. Reads every reservation.
std::string describe_usage(Pool& pool, const Config& config);

}  // namespace cni::host_local
