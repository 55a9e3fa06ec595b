#include "portmap/native_elements.h"

#include <fmt/format.h>

#include <catch2/catch.hpp>
#include <string>

using namespace cni;           // NOLINT(google-build-using-namespace)
using namespace cni::portmap;  // NOLINT(google-build-using-namespace)

namespace {

std::string hex(const nftables::Bytes& bytes) {
  std::string text;
  for (const std::byte one : bytes) text += fmt::format("{:02x}", static_cast<unsigned>(one));
  return text;
}

Holding holding(const char* address, const std::vector<Run>& runs) {
  return {.owner = {.network = "net1", .container_id = "c1", .ifname = "eth0"},
          .store = netfilter::StoreChoice::kNative,
          .address = *inet::Network::parse(address),
          .masquerade = Masquerade::kNone,
          .runs = runs};
}

std::vector<nftables::Element> of_set(const Holding& holding, const std::string& name) {
  for (const SetElements& set : elements_of(holding)) {
    if (set.set.name == name) return set.elements;
  }
  FAIL("no set " + name);
  return {};
}

}  // namespace

TEST_CASE("a port of each protocol is an element of its own", "[portmap]") {
  const auto [protocol, number] =
      GENERATE(std::pair(Protocol::kTcp, "06"), std::pair(Protocol::kUdp, "11"),
               std::pair(Protocol::kSctp, "84"));
  const Run run{.protocol = protocol, .host_port = 0x1f90, .container_port = 80};
  const std::string key = std::string(number) + "000000" + "1f900000";
  const auto v4 = of_set(holding("10.1.2.3/24", {run}), "ports");
  REQUIRE(v4.size() == 1);
  CHECK(hex(v4[0].key) == key);
  CHECK(hex(v4[0].value) ==
        "0a010203"
        "00500000");
  const auto v6 = of_set(holding("fd00::3/64", {run}), "ports");
  REQUIRE(v6.size() == 1);
  CHECK(hex(v6[0].key) == key);
  CHECK(hex(v6[0].value) ==
        "fd000000000000000000000000000003"
        "00500000");
}

TEST_CASE("a port of one address of the host has it in its key", "[portmap]") {
  const Run run{.protocol = Protocol::kSctp,
                .host_ip = inet::Address::parse("192.0.2.1"),
                .host_port = 0x1f90,
                .container_port = 80};
  const auto elements = of_set(holding("10.1.2.3/24", {run}), "ip_ports");
  REQUIRE(elements.size() == 1);
  CHECK(hex(elements[0].key) ==
        "c0000201"
        "84000000"
        "1f900000");
}

TEST_CASE("ports that stay what they are make one element, others one each", "[portmap]") {
  Run run{.protocol = Protocol::kSctp, .host_port = 0x1000, .container_port = 0x1000, .count = 16};
  const auto one = of_set(holding("10.1.2.3/24", {run}), "ranges");
  REQUIRE(one.size() == 1);
  CHECK(hex(one[0].key) ==
        "00000000"
        "84000000"
        "10000000");
  CHECK(hex(one[0].key_end) ==
        "ffffffff"
        "84000000"
        "100f0000");
  CHECK(hex(one[0].value) == "0a010203");
  run.container_port = 80;
  CHECK(of_set(holding("10.1.2.3/24", {run}), "ranges").empty());
  const auto each = of_set(holding("10.1.2.3/24", {run}), "ports");
  REQUIRE(each.size() == 16);
  CHECK(hex(each[15].key) ==
        "84000000"
        "100f0000");
  CHECK(hex(each[15].value) ==
        "0a010203"
        "005f0000");
}
