// CHECK of veth: what only it looks at, on both sides of the pair.
#include <catch2/catch.hpp>

#include "plugin/checked_network.h"
#include "plugin/veth_network.h"

using Catch::Contains;
using namespace cni::test;  // NOLINT(google-build-using-namespace)

namespace {

using Checked = CheckedNetwork<VethNetwork>;

std::vector<Difference<Checked>> differences() {
  using Net = Checked&;
  return {
      {"an IPv4 address is gone",
       [](Net net) {
         // Without the routes that have it as their source, which go with it.
         net.in_container("ip address add 10.1.2.5/25 dev eth0 noprefixroute");
         net.in_container("ip address delete 10.1.2.5/24 dev eth0");
       },
       {"Failed to match addr 10.1.2.5/24 on interface eth0"}},
      {"the container has no route to its IPv4 gateway",
       [](Net net) { net.in_container("ip route delete 10.1.2.1"); },
       {"route 10.1.2.1/32 dev eth0 not found"}},
      {"the container has no route to its IPv6 gateway",
       [](Net net) { net.in_container("ip -6 route delete fd00:1:2::1"); },
       {"route fd00:1:2::1/128 dev eth0 not found"}},
      {"the container has no route to its IPv4 network",
       [](Net net) { net.in_container("ip route delete 10.1.2.0/24"); },
       {"route 10.1.2.0/24 via 10.1.2.1 dev eth0 not found"}},
      {"the container has its IPv6 network on the link",
       [](Net net) {
         net.in_container("ip -6 route delete fd00:1:2::/64");
         net.in_container("ip -6 route add fd00:1:2::/64 dev eth0");
       },
       {"route fd00:1:2::/64 via fd00:1:2::1 dev eth0 not found"}},
      {"the host end has another MAC",
       [](Net net) { net.host.run("ip link set " + net.outer() + " address 02:00:00:00:00:98"); },
       {"MAC of link \"veth", "is 02:00:00:00:00:98, not"}},
      {"the host end has another MTU",
       [](Net net) { net.host.run("ip link set " + net.outer() + " mtu 1400"); },
       {"MTU of link \"veth", "is 1400, not 1500"}},
      {"the host end is not listed",
       [](Net net) { net.attached.result["interfaces"][0]["name"] = "veth00000000"; },
       {"the host end of \"eth0\" was not found"}},
      {"the host end has lost its IPv4 address",
       [](Net net) {
         // With the last address of a link go its IPv4 routes.
         net.host.run("ip address add 10.66.0.1/24 dev " + net.outer());
         net.host.run("ip address delete 10.1.2.1/32 dev " + net.outer());
       },
       {"gateway 10.1.2.1/32 is not on \"veth"}},
      {"the host end has lost its IPv6 address",
       [](Net net) { net.host.run("ip address delete fd00:1:2::1/128 dev " + net.outer()); },
       {"gateway fd00:1:2::1/128 is not on \"veth"}},
      {"the host has no route to the IPv4 address",
       [](Net net) { net.host.run("ip route delete 10.1.2.5"); },
       {"route 10.1.2.5/32 dev veth", " not found"}},
      {"the host has a route to the IPv6 address elsewhere",
       [](Net net) {
         net.host.run("ip -6 route delete fd00:1:2::5");
         net.host.run("ip -6 route add fd00:1:2::5 dev lo");
       },
       {"route fd00:1:2::5/128 dev veth", " not found"}},
  };
}

}  // namespace

TEST_CASE("CHECK of veth names exactly what differs and changes nothing", "[veth][check][ipv6]") {
  const auto all = differences();
  const std::size_t number = GENERATE_COPY(range(std::size_t{0}, all.size()));
  Checked net;
  check_names(all.at(number), net);
}

TEST_CASE("CHECK of veth tells all differences at once", "[veth][check][ipv6]") {
  Checked net;
  net.in_container("ip route delete 10.9.0.0/16");
  net.in_container("ip route delete 10.1.2.0/24");
  net.host.run("ip route delete 10.1.2.5");
  CHECK_THAT(net.run("CHECK", net.attached).message(), Contains("Expected Route 10.9.0.0/16") &&
                                                           Contains("route 10.1.2.0/24 via") &&
                                                           Contains("route 10.1.2.5/32 dev"));
}

TEST_CASE("CHECK of veth does not mind what others added", "[veth][check][ipv6]") {
  Checked net;
  SECTION("an address of the host end") {
    net.host.run("ip address add 10.66.0.1/24 dev " + net.outer());
  }
  SECTION("an interface of another plugin, with an address and a gateway, in prevResult") {
    Json& result = net.attached.result;
    result["interfaces"].push_back({{"name", "net9"}, {"sandbox", net.attached.container->path()}});
    result["ips"].push_back(
        {{"address", "10.77.0.5/16"}, {"gateway", "10.77.0.1"}, {"interface", 2}});
  }
  SECTION("a route to the network that a later plugin moved to another table") {
    net.in_container("ip route delete 10.1.2.0/24");
    net.in_container("ip route add 10.1.2.0/24 via 10.1.2.1 table 100");
  }
  net.check(net.attached);
}
