// CHECK, as far as it is the same for every plugin that joins a container by a veth pair.
#include <catch2/catch.hpp>

#include "plugin/bridge_network.h"
#include "plugin/checked_network.h"
#include "plugin/veth_network.h"

using Catch::Contains;
using namespace cni::test;  // NOLINT(google-build-using-namespace)

namespace {

template <typename Net>
std::vector<Difference<Net>> differences() {
  return {
      {"an IPv4 route of IPAM is gone",
       [](Net& net) { net.in_container("ip route delete 10.9.0.0/16"); },
       {"Expected Route 10.9.0.0/16 not found in routing table"}},
      {"an IPv6 route of IPAM has another gateway",
       [](Net& net) { net.in_container("ip -6 route replace fd00:9::/32 via fe80::9 dev eth0"); },
       {"Expected Route fd00:9::/32 via fd00:1:2::1 not found in routing table"}},
      {"the container's link has another MAC",
       [](Net& net) { net.in_container("ip link set eth0 address 02:00:00:00:00:99"); },
       {"MAC of link \"eth0\" is 02:00:00:00:00:99, not"}},
      {"the container's link has another MTU",
       [](Net& net) { net.in_container("ip link set eth0 mtu 1400"); },
       {"MTU of link \"eth0\" is 1400, not 1500"}},
      {"the previous result has another MTU",
       [](Net& net) { net.inner()["mtu"] = 1450; },
       {"MTU of link \"eth0\" is 1500, not 1450"}},
      {"the container's link is of another kind",
       [](Net& net) {
         net.attached.result.erase("ips");
         net.attached.result.erase("routes");
         net.inner().erase("mac");
         net.in_container("ip link set eth0 down");
         net.in_container("ip link set eth0 name other");
         net.in_container("ip link add eth0 type bridge");
         net.in_container("ip link set eth0 up");
       },
       {"kind of link \"eth0\" is \"bridge\", not"}},
      {"the container's link is gone",
       [](Net& net) {
         net.in_container("ip link set eth0 down");
         net.in_container("ip link set eth0 name other");
       },
       {"link \"eth0\": Link not found"}},
      {"IPv4 is not forwarded",
       [](Net& net) { set_sysctl(net.host, "net/ipv4/ip_forward", "0"); },
       {"sysctl net/ipv4/ip_forward is 0, not 1"}},
      {"IPv6 is not forwarded",
       [](Net& net) { set_sysctl(net.host, "net/ipv6/conf/all/forwarding", "0"); },
       {"sysctl net/ipv6/conf/all/forwarding is 0, not 1"}},
      {"the previous result names another namespace",
       [](Net& net) { net.inner()["sandbox"] = "/run/netns/other"; },
       {"Sandbox in prevResult /run/netns/other doesn't match configured netns: /run/netns/"}},
  };
}

}  // namespace

TEMPLATE_TEST_CASE("CHECK names exactly what differs and changes nothing",
                   "[bridge][veth][check][ipv6]", CheckedNetwork<BridgeNetwork>,
                   CheckedNetwork<VethNetwork>) {
  const auto all = differences<TestType>();
  const std::size_t number = GENERATE_COPY(range(std::size_t{0}, all.size()));
  TestType net;
  check_names(all.at(number), net);
}

TEMPLATE_TEST_CASE("CHECK does not mind what others added", "[bridge][veth][check][ipv6]",
                   CheckedNetwork<BridgeNetwork>, CheckedNetwork<VethNetwork>) {
  TestType net;
  Attached& attached = net.attached;
  SECTION("addresses, routes and links") {
    net.in_container("ip address add 10.1.2.77/24 dev eth0");
    net.in_container("ip address add fd00:77::1/64 dev eth0");
    net.in_container("ip route add default via 10.1.2.1");
    net.in_container("ip link add v0 type veth peer name v1");
  }
  SECTION("an interface of another plugin, with an address, in prevResult") {
    const std::size_t index = attached.result["interfaces"].size();
    attached.result["interfaces"].push_back(
        {{"name", "net9"}, {"sandbox", attached.container->path()}});
    attached.result["ips"].push_back(
        {{"address", "10.77.0.5/16"}, {"gateway", "10.77.0.1"}, {"interface", index}});
  }
  SECTION("a MAC and an MTU that a later plugin changed and told") {
    net.in_container("ip link set eth0 address 02:00:00:00:00:99");
    net.in_container("ip link set eth0 mtu 1400");
    net.inner()["mac"] = "02:00:00:00:00:99";
    net.inner()["mtu"] = 1400;
  }
  SECTION("a route that a later plugin moved to another table") {
    net.in_container("ip route delete 10.9.0.0/16");
    net.in_container("ip route add 10.9.0.0/16 via 10.1.2.1 table 100");
  }
  SECTION("the namespace by another path") {
    const std::string path = net.directory / "link";
    run_checked({.argv = {"ln", "-s", attached.container->path(), path}});
    net.inner()["sandbox"] = path;
  }
  net.check(attached);
}

TEMPLATE_TEST_CASE("CHECK needs a previous result", "[bridge][veth][check]", BridgeNetwork,
                   VethNetwork) {
  TestType net;
  Attached one = net.add("c1");
  one.result = {};
  const PluginOutcome outcome = net.run("CHECK", one);
  CHECK(outcome.code() == 7);
  CHECK_THAT(outcome.message(), Contains("Required prevResult missing"));
}

TEMPLATE_TEST_CASE("CHECK asks IPAM with the previous result and hands on its error",
                   "[bridge][veth][check]", BridgeNetwork, VethNetwork) {
  TestType net;
  const Attached one = net.add("c1");
  net.ipam.reply("CHECK", {.out = R"({"code": 123, "msg": "reservation is gone"})", .status = 1});
  const PluginOutcome outcome = net.run("CHECK", one);
  CHECK(outcome.code() == 123);
  CHECK(outcome.message() == "reservation is gone");
  const auto calls = net.ipam.calls();
  CHECK(calls.back().verb() == "CHECK");
  CHECK(Json::parse(calls.back().input).at("prevResult") == one.result);
}
