#include <algorithm>

#include "fuzz/input.h"
#include "fuzz/oracle.h"
#include "fuzz/targets.h"
#include "host-local-ipam/config.h"
#include "host-local-ipam/dynamic_part.h"

namespace cni::fuzz {
namespace {

void check_range(const host_local::Range& range, const host_local::Config& config) {
  const host_local::Interval& whole = range.addresses;
  require(whole.first <= whole.last && whole.first.family() == whole.last.family(),
          "a range is not empty");
  require(range.subnet.contains(whole.first) && range.subnet.contains(whole.last),
          "a range is in its subnet");
  const host_local::DynamicPart part(range, config.reserved);
  require(part.size() <= whole.size(), "a part is no more than the whole");
  const auto found = part.find_first(whole, [](const auto& left) { return left.first; });
  require(found.has_value() == (part.size() > 0), "what is not empty has a first address");
  require(!found || (part.contains(*found) && *found != range.gateway),
          "the gateway is given to nobody");
}

void check_config(const host_local::Config& config) {
  require(!config.place.data_dir.empty(), "there is a directory");
  require(!config.sets.empty(), "there are ranges");
  for (std::size_t at = 0; at < config.sets.size(); ++at) {
    require(!config.sets[at].ranges.empty(), "a set has ranges");
    for (std::size_t other = at + 1; other < config.sets.size(); ++other) {
      require(!config.sets[at].overlaps(config.sets[other]), "sets have no address in common");
    }
    for (const host_local::Range& range : config.sets[at].ranges) check_range(range, config);
  }
  require(config.release.cooldown.count() >= 0, "a cooldown is not negative");
}

}  // namespace

void host_local_config(std::string_view input) {
  std::optional<Request> request;
  if (!accepts([&] { request = request_of(input); }, kConfigCodes)) return;
  require_sound(*request);
  const bool whole =
      accepts([&] { check_config(host_local::parse_config(*request)); }, kConfigCodes);
  const bool cleans = accepts([&] { host_local::parse_for_cleanup(*request); }, kConfigCodes);
  require(!whole || cleans, "what was added can be deleted");
  if (whole) {
    require(accepts([&] { host_local::parse_ranges(*request); }, kConfigCodes),
            "what was added can be checked");
  }
}

}  // namespace cni::fuzz
