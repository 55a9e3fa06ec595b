// CHECK: passes for what ADD made and for what others added to it, and names what is not so.
#include <net/if.h>
#include <netinet/in.h>
#include <netpacket/packet.h>
#include <sys/socket.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <functional>

#include "plugin/bridge_network.h"

using Catch::Contains;
using namespace cni::test;  // NOLINT(google-build-using-namespace)

namespace {

// Everything that CHECK looks at is in this one.
class CheckedNetwork : public BridgeNetwork {
 public:
  CheckedNetwork() {
    config["hairpinMode"] = true;
    config["portIsolation"] = true;
    give({{"ips",
           {{{"address", "10.1.2.5/24"}, {"gateway", "10.1.2.1"}},
            {{"address", "fd00:1:2::5/64"}, {"gateway", "fd00:1:2::1"}}}},
          {"routes", {{{"dst", "10.9.0.0/16"}}, {{"dst", "fd00:9::/32"}, {"gw", "fd00:1:2::1"}}}}});
    attached = attachment("c1");
    // Link-local addresses shall not get their routes between two looks.
    set_sysctl(*attached.container, "net/ipv6/conf/default/accept_dad", "0");
    BridgeNetwork::add(attached);
  }

  Attached attached;

  void in_container(const std::string& command) const { attached.container->run(command); }
  std::string port() const { return port_name(attached.result); }
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
         // With it go the routes through its network.
         net.attached.result.erase("routes");
         net.in_container("ip address delete 10.1.2.5/24 dev eth0");
       },
       {"Failed to match addr 10.1.2.5/24 on interface eth0"}},
      {"an IPv6 address is gone",
       [](Net net) { net.in_container("ip address delete fd00:1:2::5/64 dev eth0"); },
       {"Failed to match addr fd00:1:2::5/64 on interface eth0"}},
      {"an address has another prefix length",
       [](Net net) {
         net.in_container("ip address add 10.1.2.5/25 dev eth0");
         net.in_container("ip address delete 10.1.2.5/24 dev eth0");
       },
       {"Failed to match addr 10.1.2.5/24 on interface eth0"}},
      {"an IPv4 route is gone",
       [](Net net) { net.in_container("ip route delete 10.9.0.0/16"); },
       {"Expected Route 10.9.0.0/16 not found in routing table"}},
      {"a route has another gateway",
       [](Net net) {
         net.in_container("ip -6 route replace fd00:9::/32 via fd00:1:2::9 dev eth0");
       },
       {"Expected Route fd00:9::/32 via fd00:1:2::1 not found in routing table"}},
      {"the container's link has another MAC",
       [](Net net) { net.in_container("ip link set eth0 address 02:00:00:00:00:99"); },
       {"MAC of link \"eth0\" is 02:00:00:00:00:99, not"}},
      {"the container's link has another MTU",
       [](Net net) { net.in_container("ip link set eth0 mtu 1400"); },
       {"MTU of link \"eth0\" is 1400, not 1500"}},
      {"the previous result has another MTU",
       [](Net net) { net.attached.result["interfaces"][2]["mtu"] = 1450; },
       {"MTU of link \"eth0\" is 1500, not 1450"}},
      {"the container's link is of another kind",
       [](Net net) {
         net.attached.result.erase("ips");
         net.attached.result.erase("routes");
         net.attached.result["interfaces"][2].erase("mac");
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
      {"the container's link is down",
       [](Net net) {
         net.attached.result.erase("routes");
         net.in_container("ip link set eth0 down");
       },
       {"link \"eth0\" is down"}},
      {"the host end is down",
       [](Net net) { net.host.run("ip link set " + net.port() + " down"); },
       {"link \"veth", "\" is down"}},
      {"the host end is no port",
       [](Net net) { net.host.run("ip link set " + net.port() + " nomaster"); },
       {"link \"veth", "is not a port of bridge \"br0\""}},
      {"the host end is a port of another bridge",
       [](Net net) {
         net.host.run("ip link add br9 type bridge");
         net.host.run("ip link set " + net.port() + " master br9");
       },
       {"link \"veth", "is not a port of bridge \"br0\""}},
      {"the host end is not listed",
       [](Net net) { net.attached.result["interfaces"][1]["name"] = "veth00000000"; },
       {"CNI veth created for bridge br0 was not found"}},
      {"hairpin mode is off",
       [](Net net) {
         net.host.run("ip link set " + net.port() + " type bridge_slave hairpin off");
       },
       {"hairpin mode of bridge port \"veth", "is off, not on"}},
      {"port isolation is off",
       [](Net net) {
         net.host.run("ip link set " + net.port() + " type bridge_slave isolated off");
       },
       {"port isolation of bridge port \"veth", "is off, not on"}},
      {"the bridge is down",
       [](Net net) {
         // With it go the IPv6 addresses.
         net.attached.result["ips"].erase(1);
         net.host.run("ip link set br0 down");
       },
       {"link \"br0\" is down"}},
      {"the bridge has another MAC",
       [](Net net) { net.host.run("ip link set br0 address 02:00:00:00:00:98"); },
       {"MAC of link \"br0\" is 02:00:00:00:00:98, not"}},
      {"the bridge is not listed",
       [](Net net) { net.attached.result["interfaces"][0]["name"] = "br9"; },
       {"bridge \"br0\" is not in prevResult"}},
      {"the IPv4 gateway is not on the bridge",
       [](Net net) { net.host.run("ip address delete 10.1.2.1/24 dev br0"); },
       {"gateway 10.1.2.1/24 is not on \"br0\""}},
      {"the IPv6 gateway is not on the bridge",
       [](Net net) { net.host.run("ip address delete fd00:1:2::1/64 dev br0"); },
       {"gateway fd00:1:2::1/64 is not on \"br0\""}},
      {"IPv4 is not forwarded",
       [](Net net) { set_sysctl(net.host, "net/ipv4/ip_forward", "0"); },
       {"sysctl net/ipv4/ip_forward is 0, not 1"}},
      {"IPv6 is not forwarded",
       [](Net net) { set_sysctl(net.host, "net/ipv6/conf/all/forwarding", "0"); },
       {"sysctl net/ipv6/conf/all/forwarding is 0, not 1"}},
      {"the previous result names another namespace",
       [](Net net) { net.attached.result["interfaces"][2]["sandbox"] = "/run/netns/other"; },
       {"Sandbox in prevResult /run/netns/other doesn't match configured netns: /run/netns/"}},
      {"the previous result does not have the container's link",
       [](Net net) {
         net.attached.result["interfaces"].erase(2);
         net.attached.result.erase("ips");
       },
       {"interface \"eth0\" is not in prevResult"}},
  };
}

}  // namespace

TEST_CASE("CHECK names exactly what differs and changes nothing", "[bridge][check][ipv6]") {
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

TEST_CASE("CHECK tells all differences at once", "[bridge][check][ipv6]") {
  CheckedNetwork net;
  net.in_container("ip route delete 10.9.0.0/16");
  net.host.run("ip address delete 10.1.2.1/24 dev br0");
  CHECK_THAT(net.run("CHECK", net.attached).message(),
             Contains("Expected Route 10.9.0.0/16") && Contains("gateway 10.1.2.1/24"));
}

TEST_CASE("CHECK does not mind what others added", "[bridge][check][ipv6]") {
  CheckedNetwork net;
  Attached& attached = net.attached;
  SECTION("addresses, routes and links") {
    net.in_container("ip address add 10.1.2.77/24 dev eth0");
    net.in_container("ip address add fd00:77::1/64 dev eth0");
    net.in_container("ip route add 10.77.0.0/16 via 10.1.2.77");
    net.in_container("ip route add default via 10.1.2.77");
    net.in_container("ip link add v0 type veth peer name v1");
  }
  SECTION("an interface of another plugin, with an address, in prevResult") {
    attached.result["interfaces"].push_back(
        {{"name", "net9"}, {"sandbox", attached.container->path()}});
    attached.result["ips"].push_back({{"address", "10.77.0.5/16"}, {"interface", 3}});
  }
  SECTION("a MAC and an MTU that a later plugin changed and told") {
    net.in_container("ip link set eth0 address 02:00:00:00:00:99");
    net.in_container("ip link set eth0 mtu 1400");
    attached.result["interfaces"][2]["mac"] = "02:00:00:00:00:99";
    attached.result["interfaces"][2]["mtu"] = 1400;
  }
  SECTION("a route that a later plugin moved to another table") {
    net.in_container("ip route delete 10.9.0.0/16");
    net.in_container("ip route add 10.9.0.0/16 via 10.1.2.1 table 100");
  }
  SECTION("the namespace by another path") {
    const std::string path = net.directory / "link";
    run_checked({.argv = {"ln", "-s", attached.container->path(), path}});
    attached.result["interfaces"][2]["sandbox"] = path;
  }
  SECTION("another container with a smaller MTU, which lowers that of the bridge") {
    net.config["mtu"] = 1300;
    net.give({{"ips", {{{"address", "10.1.2.6/24"}, {"gateway", "10.1.2.1"}}}}});
    net.add("c2");
    net.config.erase("mtu");
  }
  const PluginOutcome outcome = net.run("CHECK", attached);
  INFO(outcome.text());
  CHECK(outcome.status == 0);
}

TEST_CASE("CHECK passes while somebody captures packets on the bridge", "[bridge][check][ipv6]") {
  CheckedNetwork net;
  int capture = -1;
  net.host.in([&] {
    capture = ::socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, htons(0x0003));
    packet_mreq request{};
    request.mr_ifindex = static_cast<int>(::if_nametoindex("br0"));
    request.mr_type = PACKET_MR_PROMISC;
    REQUIRE(::setsockopt(capture, SOL_PACKET, PACKET_ADD_MEMBERSHIP, &request, sizeof request) ==
            0);
  });
  CHECK(link(net.host, "br0")["promiscuity"] == 1);
  const PluginOutcome outcome = net.run("CHECK", net.attached);
  INFO(outcome.text());
  CHECK(outcome.status == 0);
  // Nor does a capture count as promiscMode.
  net.config["promiscMode"] = true;
  net.config["hairpinMode"] = false;
  net.host.run("ip link set " + net.port() + " type bridge_slave hairpin off");
  CHECK_THAT(net.run("CHECK", net.attached).message(),
             Contains("bridge \"br0\" is not in promiscuous mode"));
  ::close(capture);
}

TEST_CASE("CHECK of addresses and routes of every kind right after ADD", "[bridge][check][ipv6]") {
  BridgeNetwork net;
  const auto ips = [](const char* v4, const char* v6) {
    return Json{{{"address", v4}}, {{"address", v6}}};
  };
  Json answer = {{"ips", ips("10.1.2.5/24", "fd00:1:2::5/64")}};
  SECTION("routes in another table, with metrics, MTU and scope") {
    answer["routes"] = {{{"dst", "10.9.0.0/16"}, {"table", 100}, {"priority", 5}},
                        {{"dst", "10.9.0.0/16"}, {"table", 101}, {"mtu", 1300}},
                        {{"dst", "10.200.0.0/16"}, {"scope", 253}},
                        {{"dst", "fd00:9::/32"}, {"table", 100}, {"priority", 5}},
                        {{"dst", "0.0.0.0/0"}},
                        {{"dst", "::/0"}}};
  }
  SECTION("addresses of one host") {
    net.config["isGateway"] = false;
    answer["ips"] = ips("10.1.2.5/32", "fd00:1:2::5/128");
  }
  SECTION("two ways to one destination") {
    answer["routes"] = {{{"dst", "10.9.0.0/16"}, {"gw", "10.1.2.1"}},
                        {{"dst", "10.9.0.0/16"}, {"gw", "10.1.2.2"}},
                        {{"dst", "fd00:9::/32"}, {"gw", "fd00:1:2::1"}},
                        {{"dst", "fd00:9::/32"}, {"gw", "fd00:1:2::2"}}};
  }
  SECTION("a default gateway that the plugin adds") {
    net.config["isDefaultGateway"] = true;
  }
  SECTION("duplicate address detection") {
    net.config["enabledad"] = true;
  }
  SECTION("a destination with host bits") {
    answer["routes"] = {{{"dst", "10.9.1.1/16"}}, {{"dst", "fd00:9::1/32"}}};
  }
  net.give(answer);
  const Attached one = net.add("c1");
  const PluginOutcome outcome = net.run("CHECK", one);
  INFO(outcome.text());
  CHECK(outcome.status == 0);
}

TEST_CASE("a missing route in another table is seen", "[bridge][check]") {
  BridgeNetwork net;
  net.give({{"ips", {{{"address", "10.1.2.5/24"}}}},
            {"routes", {{{"dst", "10.9.0.0/16"}, {"table", 100}, {"priority", 5}}}}});
  const Attached one = net.add("c1");
  one.container->run("ip route delete 10.9.0.0/16 table 100");
  one.container->run("ip route add 10.9.0.0/16 via 10.1.2.1");
  CHECK(net.run("CHECK", one).message() ==
        "Expected Route 10.9.0.0/16 metric 5 table 100 not found in routing table");
}

TEST_CASE("CHECK needs a previous result", "[bridge][check]") {
  BridgeNetwork net;
  Attached one = net.add("c1");
  one.result = {};
  const PluginOutcome outcome = net.run("CHECK", one);
  CHECK(outcome.code() == 7);
  CHECK_THAT(outcome.message(), Contains("Required prevResult missing"));
}

TEST_CASE("CHECK asks IPAM with the previous result and hands on its error", "[bridge][check]") {
  BridgeNetwork net;
  const Attached one = net.add("c1");
  net.ipam.reply("CHECK", {.out = R"({"code": 123, "msg": "reservation is gone"})", .status = 1});
  const PluginOutcome outcome = net.run("CHECK", one);
  CHECK(outcome.code() == 123);
  CHECK(outcome.message() == "reservation is gone");
  const auto calls = net.ipam.calls();
  CHECK(calls.back().verb() == "CHECK");
  CHECK(Json::parse(calls.back().input).at("prevResult") == one.result);
}
