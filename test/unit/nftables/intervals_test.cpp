#include "nftables/intervals.h"

#include <catch2/catch.hpp>
#include <string>
#include <vector>

using namespace cni::nftables;  // NOLINT(google-build-using-namespace)
using cni::inet::Address;
using cni::inet::Network;

namespace {

// "10.0.0.0 10.1.0.0-" and so on; the end of a range has a dash.
std::string text(const std::vector<Element>& elements) {
  std::string out;
  for (const Element& element : elements) {
    const auto family =
        element.key.size() == 4 ? cni::inet::Family::kIpv4 : cni::inet::Family::kIpv6;
    out += out.empty() ? "" : " ";
    out += Address::from_bytes(family, element.key.data()).text();
    if (element.interval_end) out += '-';
  }
  return out;
}

std::string intervals(const std::vector<std::string>& networks) {
  std::vector<Network> parsed;
  for (const std::string& network : networks) parsed.push_back(*Network::parse(network));
  return text(interval_elements(parsed));
}

}  // namespace

TEST_CASE("networks become ranges that do not overlap", "[nftables]") {
  CHECK(intervals({}).empty());
  CHECK(intervals({"10.1.0.0/16"}) == "0.0.0.0- 10.1.0.0 10.2.0.0-");
  CHECK(intervals({"10.1.0.7/16"}) == "0.0.0.0- 10.1.0.0 10.2.0.0-");
  CHECK(intervals({"10.3.0.0/16", "10.1.0.0/16"}) ==
        "0.0.0.0- 10.1.0.0 10.2.0.0- 10.3.0.0 10.4.0.0-");
  // Equal, inside one another, touching.
  CHECK(intervals({"10.1.0.0/16", "10.1.0.0/16"}) == "0.0.0.0- 10.1.0.0 10.2.0.0-");
  CHECK(intervals({"10.0.0.0/8", "10.1.0.0/16", "10.2.0.0/16"}) == "0.0.0.0- 10.0.0.0 11.0.0.0-");
  CHECK(intervals({"10.1.2.0/24", "10.1.0.0/16", "10.2.0.0/16"}) == "0.0.0.0- 10.1.0.0 10.3.0.0-");
  CHECK(intervals({"10.0.0.1/32", "10.0.0.2/32", "10.0.0.4/32"}) ==
        "0.0.0.0- 10.0.0.1 10.0.0.3- 10.0.0.4 10.0.0.5-");
  // Both ends of what there is.
  CHECK(intervals({"0.0.0.0/0"}) == "0.0.0.0");
  CHECK(intervals({"0.0.0.0/0", "10.0.0.0/8", "255.255.255.255/32"}) == "0.0.0.0");
  CHECK(intervals({"0.0.0.0/8"}) == "0.0.0.0 1.0.0.0-");
  CHECK(intervals({"128.0.0.0/1"}) == "0.0.0.0- 128.0.0.0");
  CHECK(intervals({"0.0.0.0/1", "128.0.0.0/1"}) == "0.0.0.0");
  CHECK(intervals({"255.255.255.255/32"}) == "0.0.0.0- 255.255.255.255");
  CHECK(intervals({"::/0"}) == "::");
  CHECK(intervals({"fd00::/8"}) == "::- fd00:: fe00::-");
  CHECK(intervals({"fd00::/8", "ff00::/8"}) == "::- fd00:: fe00::- ff00::");
}

TEST_CASE("the beginning of a range has the user data", "[nftables]") {
  const Bytes mark = element_comment("whose");
  for (const Element& element : interval_elements({*Network::parse("10.0.0.0/8")}, mark)) {
    CHECK(element.user_data == (element.interval_end ? Bytes() : mark));
  }
}
