// The small languages of host-local-ipam: durations, intervals, reservations and records.

#include "fuzz/oracle.h"
#include "fuzz/targets.h"
#include "host-local-ipam/config.h"
#include "host-local-ipam/range.h"
#include "host-local-ipam/stamp.h"
#include "host-local-ipam/store.h"

namespace cni::fuzz {

void host_local_words(std::string_view input) {
  using namespace host_local;  // NOLINT(google-build-using-namespace)
  if (const auto duration = parse_duration(input)) {
    require(duration->count() >= 0 && *duration <= std::chrono::hours(24 * 365 * 10),
            "a duration is neither negative nor endless");
    const std::string text = std::to_string(duration->count()) + "ns";
    require(duration->count() > 0xffffffff || parse_duration(text) == duration,
            "a duration reads back");
  }
  if (const auto interval = parse_interval(std::string(input))) {
    require(interval->first <= interval->last, "an interval is not empty");
    require(interval->contains(interval->first) && interval->contains(interval->last) &&
                interval->size() > 0,
            "an interval holds its ends");
    // That of ::/80, say, ends with ::ffff:ffff:ffff, which reads as an address of IPv4.
    const bool plain = inet::Address::parse(interval->first.text()) == interval->first &&
                       inet::Address::parse(interval->last.text()) == interval->last;
    const auto again = parse_interval(interval->text());
    require(!plain || (again && again->first == interval->first && again->last == interval->last),
            "an interval reads back");
  }
  if (const auto owner = parse_owner(input)) {
    require(parse_owner(text(*owner)) == owner, "an owner reads back");
    require(owner->container_id.find('/') == std::string::npos, "an owner is a name");
  }
  if (const auto record = parse_record(input)) {
    const auto again = parse_record(text(*record));
    require(again.has_value() && text(*again) == text(*record), "a record reads back");
  }
}

}  // namespace cni::fuzz
