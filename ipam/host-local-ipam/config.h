// The configuration of host-local-ipam: the `ipam` object, and what the runtime adds to it.
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <vector>

#include "inet/address.h"
#include "protocol/request.h"
#include "protocol/result.h"
#include "range.h"

namespace cni::host_local {

// What becomes of an address when its attachment ends.
struct Release {
  // Kept for the pod for so long.
  std::optional<std::chrono::nanoseconds> sticky = std::nullopt;
  // Given to nobody for so long, as long as others are free.
  std::chrono::nanoseconds cooldown{0};
};

// Where the state of a network lies: `<data_dir>/<network>` is shared with the Go suite's
// host-local, `<data_dir>/.plumb/<network>` is ours; no network can be called ".plumb".
struct Place {
  std::string data_dir;
  std::string network;

  std::string shared() const { return data_dir + '/' + network; }
};

struct Config {
  Place place;
  // One address of each. The position is the ID in the name of the set's pointer file.
  std::vector<RangeSet> sets;
  std::vector<inet::Address> requested;  // in the order of the request, no two equal
  std::vector<Interval> reserved;        // given on request only
  std::vector<Route> routes;
  std::string resolv_conf;  // "" if there is none
  bool reclaim = true;
  Release release;
};

// ADD: everything, checked. Throws json::ValueError and Error 7.
Config parse_config(const Request& request);

// CHECK and STATUS: without what an ADD asks for.
Config parse_ranges(const Request& request);

// DEL and GC: what is needed to find and release addresses. A value of no use counts as absent, so
// that an attachment can be removed whatever became of its configuration.
struct Cleanup {
  Place place;
  Release release;
};
Cleanup parse_for_cleanup(const Request& request);

// "90s", "1h30m", "500ms", as Go writes durations; not negative.
std::optional<std::chrono::nanoseconds> parse_duration(std::string_view text);

}  // namespace cni::host_local
