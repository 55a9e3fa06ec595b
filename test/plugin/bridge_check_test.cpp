// CHECK of bridge: passes for what ADD made, and names what is not so on the bridge and its port.
#include <net/if.h>
#include <netinet/in.h>
#include <netpacket/packet.h>
#include <sys/socket.h>
#include <unistd.h>

#include <catch2/catch.hpp>

#include "plugin/bridge_network.h"
#include "plugin/checked_network.h"

using Catch::Contains;
using namespace cni::test;  // NOLINT(google-build-using-namespace)

namespace {

class Checked : public CheckedNetwork<BridgeNetwork> {
 public:
  Checked() : CheckedNetwork({{"hairpinMode", true}, {"portIsolation", true}}) {}
};

std::vector<Difference<Checked>> differences() {
  using Net = Checked&;
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
      {"the container's link is down",
       [](Net net) {
         net.attached.result.erase("routes");
         net.in_container("ip link set eth0 down");
       },
       {"link \"eth0\" is down"}},
      {"the host end is down",
       [](Net net) { net.host.run("ip link set " + net.outer() + " down"); },
       {"link \"veth", "\" is down"}},
      {"the host end is no port",
       [](Net net) { net.host.run("ip link set " + net.outer() + " nomaster"); },
       {"link \"veth", "is not a port of bridge \"br0\""}},
      {"the host end is a port of another bridge",
       [](Net net) {
         net.host.run("ip link add br9 type bridge");
         net.host.run("ip link set " + net.outer() + " master br9");
       },
       {"link \"veth", "is not a port of bridge \"br0\""}},
      {"the host end is not listed",
       [](Net net) { net.attached.result["interfaces"][1]["name"] = "veth00000000"; },
       {"CNI veth created for bridge br0 was not found"}},
      {"hairpin mode is off",
       [](Net net) {
         net.host.run("ip link set " + net.outer() + " type bridge_slave hairpin off");
       },
       {"hairpin mode of bridge port \"veth", "is off, not on"}},
      {"port isolation is off",
       [](Net net) {
         net.host.run("ip link set " + net.outer() + " type bridge_slave isolated off");
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
      {"the previous result does not have the container's link",
       [](Net net) {
         net.attached.result["interfaces"].erase(2);
         net.attached.result.erase("ips");
       },
       {"interface \"eth0\" is not in prevResult"}},
  };
}

}  // namespace

TEST_CASE("CHECK of bridge names exactly what differs and changes nothing",
          "[bridge][check][ipv6]") {
  const auto all = differences();
  const std::size_t number = GENERATE_COPY(range(std::size_t{0}, all.size()));
  Checked net;
  check_names(all.at(number), net);
}

TEST_CASE("CHECK tells all differences at once", "[bridge][check][ipv6]") {
  Checked net;
  net.in_container("ip route delete 10.9.0.0/16");
  net.host.run("ip address delete 10.1.2.1/24 dev br0");
  CHECK_THAT(net.run("CHECK", net.attached).message(),
             Contains("Expected Route 10.9.0.0/16") && Contains("gateway 10.1.2.1/24"));
}

TEST_CASE("CHECK of bridge does not mind another container that lowers its MTU",
          "[bridge][check][ipv6]") {
  Checked net;
  net.config["mtu"] = 1300;
  net.give({{"ips", {{{"address", "10.1.2.6/24"}, {"gateway", "10.1.2.1"}}}}});
  net.add("c2");
  net.config.erase("mtu");
  net.check(net.attached);
}

TEST_CASE("CHECK does not mind a way through an address that another plugin added",
          "[bridge][check][ipv6]") {
  Checked net;
  net.in_container("ip address add 10.1.2.77/24 dev eth0");
  net.in_container("ip route add 10.77.0.0/16 via 10.1.2.77");
  net.in_container("ip route add default via 10.1.2.77");
  net.check(net.attached);
}

TEST_CASE("CHECK passes while somebody captures packets on the bridge", "[bridge][check][ipv6]") {
  Checked net;
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
  net.check(net.attached);
  // Nor does a capture count as promiscMode.
  net.config["promiscMode"] = true;
  net.config["hairpinMode"] = false;
  net.host.run("ip link set " + net.outer() + " type bridge_slave hairpin off");
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
  net.check(net.add("c1"));
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
