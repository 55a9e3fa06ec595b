// CHECK of veth: passes for what ADD made, and names what is not so, on both sides of the pair.
#include <catch2/catch.hpp>
#include <functional>

#include "plugin/veth_network.h"

using Catch::Contains;
using namespace cni::test;  // NOLINT(google-build-using-namespace)

namespace {

class CheckedNetwork : public VethNetwork {
 public:
  CheckedNetwork() {
    give({{"ips",
           {{{"address", "10.1.2.5/24"}, {"gateway", "10.1.2.1"}},
            {{"address", "fd00:1:2::5/64"}, {"gateway", "fd00:1:2::1"}}}},
          {"routes", {{{"dst", "10.9.0.0/16"}}, {{"dst", "fd00:9::/32"}, {"gw", "fd00:1:2::1"}}}}});
    attached = attachment("c1");
    // Link-local addresses shall not get their routes between two looks.
    set_sysctl(*attached.container, "net/ipv6/conf/default/accept_dad", "0");
    VethNetwork::add(attached);
  }

  Attached attached;

  void in_container(const std::string& command) const { attached.container->run(command); }
  std::string outer() const { return host_end(attached.result); }
};

struct Difference {
  const char* name;
  std::function<void(CheckedNetwork&)> make;
  // Parts of the one sentence.
  std::vector<std::string> sentence;
};

std::vector<Difference> differences() {
  using Net = CheckedNetwork&;
  return {
      {"an IPv4 address is gone",
       [](Net net) {
         // Without the routes that have it as their source, which go with it.
         net.in_container("ip address add 10.1.2.5/25 dev eth0 noprefixroute");
         net.in_container("ip address delete 10.1.2.5/24 dev eth0");
       },
       {"Failed to match addr 10.1.2.5/24 on interface eth0"}},
      {"an IPv4 route of IPAM is gone",
       [](Net net) { net.in_container("ip route delete 10.9.0.0/16"); },
       {"Expected Route 10.9.0.0/16 not found in routing table"}},
      {"an IPv6 route of IPAM has another gateway",
       [](Net net) { net.in_container("ip -6 route replace fd00:9::/32 via fe80::9 dev eth0"); },
       {"Expected Route fd00:9::/32 via fd00:1:2::1 not found in routing table"}},
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
      {"the container's link has another MAC",
       [](Net net) { net.in_container("ip link set eth0 address 02:00:00:00:00:99"); },
       {"MAC of link \"eth0\" is 02:00:00:00:00:99, not"}},
      {"the container's link has another MTU",
       [](Net net) { net.in_container("ip link set eth0 mtu 1400"); },
       {"MTU of link \"eth0\" is 1400, not 1500"}},
      {"the container's link is of another kind",
       [](Net net) {
         net.attached.result.erase("ips");
         net.attached.result.erase("routes");
         net.attached.result["interfaces"][1].erase("mac");
         net.in_container("ip link set eth0 down");
         net.in_container("ip link set eth0 name other");
         net.in_container("ip link add eth0 type bridge");
         net.in_container("ip link set eth0 up");
       },
       {"kind of link \"eth0\" is \"bridge\", not"}},
      {"the container's link is gone",
       [](Net net) {
         net.in_container("ip link set eth0 down");
         net.in_container("ip link set eth0 name other");
       },
       {"link \"eth0\": Link not found"}},
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
      {"IPv4 is not forwarded",
       [](Net net) { set_sysctl(net.host, "net/ipv4/ip_forward", "0"); },
       {"sysctl net/ipv4/ip_forward is 0, not 1"}},
      {"IPv6 is not forwarded",
       [](Net net) { set_sysctl(net.host, "net/ipv6/conf/all/forwarding", "0"); },
       {"sysctl net/ipv6/conf/all/forwarding is 0, not 1"}},
      {"the previous result names another namespace",
       [](Net net) { net.attached.result["interfaces"][1]["sandbox"] = "/run/netns/other"; },
       {"Sandbox in prevResult /run/netns/other doesn't match configured netns: /run/netns/"}},
  };
}

}  // namespace

TEST_CASE("CHECK of veth names exactly what differs and changes nothing", "[veth][check][ipv6]") {
  const std::size_t number = GENERATE(range(std::size_t{0}, differences().size()));
  const Difference difference = differences().at(number);
  INFO(difference.name);
  CheckedNetwork net;
  {
    const PluginOutcome before = net.run("CHECK", net.attached);
    INFO(before.text());
    REQUIRE(before.status == 0);
  }
  difference.make(net);
  const Snapshot host = net.snapshot();
  const Snapshot container = Snapshot::take(net.attached.container->path());
  const PluginOutcome outcome = net.run("CHECK", net.attached);
  INFO(outcome.text());
  CHECK(outcome.status == 1);
  CHECK(outcome.code() == 999);
  for (const std::string& part : difference.sentence) CHECK_THAT(outcome.message(), Contains(part));
  CHECK_THAT(outcome.message(), !Contains("; "));
  CHECK(cni::test::difference(host, net.snapshot()) == "");
  CHECK(cni::test::difference(container, Snapshot::take(net.attached.container->path())) == "");
}

TEST_CASE("CHECK of veth tells all differences at once", "[veth][check][ipv6]") {
  CheckedNetwork net;
  net.in_container("ip route delete 10.9.0.0/16");
  net.in_container("ip route delete 10.1.2.0/24");
  net.host.run("ip route delete 10.1.2.5");
  CHECK_THAT(net.run("CHECK", net.attached).message(), Contains("Expected Route 10.9.0.0/16") &&
                                                           Contains("route 10.1.2.0/24 via") &&
                                                           Contains("route 10.1.2.5/32 dev"));
}

TEST_CASE("CHECK of veth does not mind what others added", "[veth][check][ipv6]") {
  CheckedNetwork net;
  Attached& attached = net.attached;
  SECTION("addresses, routes and links") {
    net.in_container("ip address add 10.1.2.77/24 dev eth0");
    net.in_container("ip route add default via 10.1.2.1");
    net.in_container("ip link add v0 type veth peer name v1");
    net.host.run("ip address add 10.66.0.1/24 dev " + net.outer());
  }
  SECTION("an interface of another plugin, with an address, in prevResult") {
    attached.result["interfaces"].push_back(
        {{"name", "net9"}, {"sandbox", attached.container->path()}});
    attached.result["ips"].push_back(
        {{"address", "10.77.0.5/16"}, {"gateway", "10.77.0.1"}, {"interface", 2}});
  }
  SECTION("routes that a later plugin moved to another table") {
    net.in_container("ip route delete 10.1.2.0/24");
    net.in_container("ip route add 10.1.2.0/24 via 10.1.2.1 table 100");
  }
  const PluginOutcome outcome = net.run("CHECK", attached);
  INFO(outcome.text());
  CHECK(outcome.status == 0);
}

TEST_CASE("CHECK of veth asks IPAM with the previous result", "[veth][check]") {
  VethNetwork net;
  Attached one = net.add("c1");
  net.ipam.reply("CHECK", {.out = R"({"code": 123, "msg": "reservation is gone"})", .status = 1});
  const PluginOutcome outcome = net.run("CHECK", one);
  CHECK(outcome.code() == 123);
  CHECK(outcome.message() == "reservation is gone");
  CHECK(Json::parse(net.ipam.calls().back().input).at("prevResult") == one.result);
  one.result = {};
  CHECK(net.run("CHECK", one).code() == 7);
}
