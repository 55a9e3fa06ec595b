#include "host-local-ipam/range.h"

#include <catch2/catch.hpp>

#include "host-local-ipam/dynamic_part.h"
#include "json/parse.h"

using cni::host_local::DynamicPart;
using cni::host_local::Interval;
using cni::host_local::parse_interval;
using cni::host_local::parse_range_set;
using cni::host_local::RangeSet;
using cni::inet::Address;

namespace {

RangeSet set(const std::string& text) {
  const auto document = cni::json::parse(text);
  return parse_range_set(cni::json::Reader(document), 3);
}

}  // namespace

TEST_CASE("a range has defaults", "[host-local]") {
  const RangeSet ipv4 = set(R"([{"subnet": "10.1.2.0/24"}])");
  CHECK(ipv4.text() == "10.1.2.1-10.1.2.254");
  CHECK(ipv4.ranges[0].gateway.text() == "10.1.2.1");
  const RangeSet ipv6 = set(R"([{"subnet": "fd00::/64"}])");
  CHECK(ipv6.text() == "fd00::1-fd00::ffff:ffff:ffff:ffff");
  CHECK(set(R"([{"subnet": "::/0"}])").text() == "::1-ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff");
  CHECK(set(R"([{"subnet": "0.0.0.0/0"}])").text() == "0.0.0.1-255.255.255.254");
}

TEST_CASE("a range takes what is given", "[host-local]") {
  const RangeSet one = set(R"([{"subnet": "10.1.2.0/24", "rangeStart": "10.1.2.0",
      "rangeEnd": "10.1.2.255", "gateway": "fd00::1"},
      {"subnet": "10.1.3.0/30"}])");
  CHECK(one.text() == "10.1.2.0-10.1.2.255,10.1.3.1-10.1.3.2");
  CHECK(one.ranges[0].gateway.text() == "fd00::1");
  CHECK(one.find(*Address::parse("10.1.3.2")) == &one.ranges[1]);
  CHECK(one.find(*Address::parse("10.1.3.3")) == nullptr);
  CHECK(one.find(*Address::parse("::a01:302")) == nullptr);
}

TEST_CASE("a bad range is told by its set", "[host-local]") {
  const auto refused = [](const char* text) -> std::string {
    try {
      set(text);
    } catch (const cni::json::ValueError& error) {
      return error.what();
    }
    return "accepted";
  };
  CHECK(refused(R"([{"subnet": "fd00::/127"}])") ==
        "invalid range set 3: Network fd00::/127 too small to allocate from");
  CHECK(refused(R"([{"subnet": "10.1.2.0/24", "rangeStart": "fd00::1"}])") ==
        "invalid range set 3: RangeStart fd00::1 not in network 10.1.2.0/24");
  CHECK(refused(R"([{"subnet": "10.1.2.0/24", "rangeStart": "10.1.2.255"}])") ==
        "invalid range set 3: RangeStart 10.1.2.255 not in network 10.1.2.0/24");
  CHECK(refused(R"([{"subnet": "10.1.2.0/24", "rangeEnd": "10.1.2.0"}])") ==
        "invalid range set 3: RangeEnd 10.1.2.0 not in network 10.1.2.0/24");
  CHECK(refused(R"([{"subnet": "10.1.2.0/24", "rangeStart": 1}])").find("rangeStart") !=
        std::string::npos);
  CHECK(refused(R"([{"subnet": "10.1.2.0/24"}, {"subnet": "10.2.2.0/24"}])") == "accepted");
}

TEST_CASE("an interval is read and counted", "[host-local]") {
  CHECK(parse_interval("10.1.2.3")->text() == "10.1.2.3-10.1.2.3");
  CHECK(parse_interval("10.1.2.3/30")->text() == "10.1.2.0-10.1.2.3");
  CHECK(parse_interval("fd00::1-fd00::9")->text() == "fd00::1-fd00::9");
  CHECK(parse_interval("fd00::1-fd00::9")->size() == 9);
  CHECK(parse_interval("::/0")->size() == ~cni::inet::Bits{0});
  for (const char* bad : {"", "x", "10.1.2.3-", "10.1.2.4-10.1.2.3", "10.1.2.3-fd00::1", "a-b-c"}) {
    CHECK_FALSE(parse_interval(bad).has_value());
  }
}

TEST_CASE("the dynamic part leaves out the gateway and what is reserved", "[host-local]") {
  const RangeSet ranges = set(R"([{"subnet": "10.1.2.0/28"}])");
  const std::vector<Interval> reserved = {
      *parse_interval("10.1.2.4-10.1.2.6"), *parse_interval("10.1.2.5-10.1.2.7"),
      *parse_interval("10.1.2.12/30"), *parse_interval("10.9.0.0/16")};
  const DynamicPart part(ranges.ranges[0], reserved);
  // 1 is the gateway, 4 to 7 and 12 to 14 are reserved.
  CHECK(part.size() == 14 - 1 - 4 - 3);
  CHECK_FALSE(part.contains(*Address::parse("10.1.2.1")));
  CHECK_FALSE(part.contains(*Address::parse("10.1.2.7")));
  CHECK_FALSE(part.contains(*Address::parse("10.1.2.15")));
  CHECK(part.contains(*Address::parse("10.1.2.8")));
  CHECK(part.count([](const Interval& in) { return in.size(); }) == part.size());

  const auto first = [](const Interval& in) { return std::optional(in.first); };
  const auto from = [&](const char* text) -> std::string {
    const auto found =
        part.find_first({*Address::parse(text), ranges.ranges[0].addresses.last}, first);
    return found ? found->text() : "none";
  };
  CHECK(from("10.1.2.1") == "10.1.2.2");
  CHECK(from("10.1.2.4") == "10.1.2.8");
  CHECK(from("10.1.2.12") == "none");
}
