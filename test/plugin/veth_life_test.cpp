// The veth plugin, also called as ptp: the life of an attachment, seen in results and kernel.
#include <algorithm>
#include <catch2/catch.hpp>
#include <chrono>
#include <set>

#include "plugin/veth_network.h"

using Catch::Contains;
using namespace cni::test;  // NOLINT(google-build-using-namespace)

using Texts = std::vector<std::string>;

namespace {

// The routes of one table and family, each as "destination via gateway dev link scope source", what
// is not there as "-".
std::set<std::string> routes(const Namespace& where, const std::string& arguments) {
  std::set<std::string> lines;
  for (const Json& route : Json::parse(where.run("ip -j " + arguments))) {
    std::string line;
    for (const char* key : {"dst", "gateway", "dev", "scope", "prefsrc", "protocol"}) {
      line += (line.empty() ? "" : " ") + route.value(key, std::string("-"));
    }
    // What the kernel makes for link-local addresses and multicast.
    if (line.starts_with("fe80::/64 ") || line.starts_with("ff00::/8 ")) continue;
    lines.insert(line);
  }
  return lines;
}

}  // namespace

TEST_CASE("ADD joins the container to the host and says what it did", "[veth][ipv6]") {
  VethNetwork net;
  net.plugin = GENERATE(as<std::string>{}, "veth", "ptp");
  net.config["type"] = net.plugin;
  net.give({{"ips",
             {{{"address", "10.1.2.5/24"}, {"gateway", "10.1.2.1"}},
              {{"address", "fd00:1:2::5/64"}, {"gateway", "fd00:1:2::1"}}}},
            {"routes",
             {{{"dst", "0.0.0.0/0"}},
              {{"dst", "::/0"}},
              {{"dst", "10.9.0.0/16"}, {"gw", "10.1.2.1"}, {"mtu", 1300}, {"priority", 7}}}},
            {"dns", {{"nameservers", {"10.1.2.2"}}, {"search", {"b", "a"}}}}});
  net.args = "IgnoreUnknown=1;K8S_POD_NAMESPACE=shop;K8S_POD_NAME=db-0";
  const Attached one = net.add("c1");
  net.check_reach(one);  // at once, before anything else
  const Json& result = one.result;

  CHECK(result["cniVersion"] == "1.1.0");
  REQUIRE(result["interfaces"].size() == 2);
  const std::string veth = host_end(result);
  const Json outside = link(net.host, veth);
  const Json inside = link(*one.container, "eth0");
  CHECK(result["interfaces"][0] ==
        Json{{"name", veth}, {"mac", outside["address"]}, {"mtu", outside["mtu"]}});
  CHECK(result["interfaces"][1] == Json{{"name", "eth0"},
                                        {"mac", inside["address"]},
                                        {"mtu", inside["mtu"]},
                                        {"sandbox", one.container->path()}});
  CHECK(result["ips"] ==
        Json{{{"address", "10.1.2.5/24"}, {"gateway", "10.1.2.1"}, {"interface", 1}},
             {{"address", "fd00:1:2::5/64"}, {"gateway", "fd00:1:2::1"}, {"interface", 1}}});
  CHECK(result["routes"] ==
        Json{{{"dst", "0.0.0.0/0"}},
             {{"dst", "::/0"}},
             {{"dst", "10.9.0.0/16"}, {"gw", "10.1.2.1"}, {"mtu", 1300}, {"priority", 7}}});
  CHECK(result["dns"] == Json{{"nameservers", {"10.1.2.2"}}, {"search", {"b", "a"}}});

  CHECK(veth.size() == 12);
  CHECK_THAT(veth, Catch::StartsWith("veth"));
  CHECK(outside["operstate"] == "UP");
  CHECK_THAT(outside["ifalias"].get<std::string>(), Catch::StartsWith("shop/db-0#eth0 plumb:"));
  CHECK(addresses(*one.container, "eth0") == Texts{"10.1.2.5/24", "fd00:1:2::5/64"});
  CHECK(addresses(net.host, veth) == Texts{"10.1.2.1/32", "fd00:1:2::1/128"});
  CHECK(routes(*one.container, "route show") ==
        std::set<std::string>{"10.1.2.1 - eth0 link 10.1.2.5 -",
                              "10.1.2.0/24 10.1.2.1 eth0 - 10.1.2.5 -",
                              "default 10.1.2.1 eth0 - - -", "10.9.0.0/16 10.1.2.1 eth0 - - -"});
  CHECK(routes(*one.container, "-6 route show") ==
        std::set<std::string>{"fd00:1:2::1 - eth0 - fd00:1:2::5 -",
                              "fd00:1:2::/64 fd00:1:2::1 eth0 - fd00:1:2::5 -",
                              "default fd00:1:2::1 eth0 - - -"});
  CHECK(routes(net.host, "route show") ==
        std::set<std::string>{"10.1.2.5 - " + veth + " host - -"});
  CHECK(routes(net.host, "-6 route show") ==
        std::set<std::string>{"fd00:1:2::1 - " + veth + " - - kernel",
                              "fd00:1:2::5 - " + veth + " - - -"});
  CHECK(sysctl(net.host, "net/ipv6/conf/" + veth + "/accept_ra") == "0");
  CHECK_THAT(net.host.run("ip neighbour show dev " + veth),
             Contains("10.1.2.5 ") && Contains("fd00:1:2::5 "));

  // IPAM got the very configuration and the environment.
  const FakePlugin::Call call = net.ipam.calls().at(0);
  CHECK(Json::parse(call.input) == net.config);
  CHECK(call.environment.at("CNI_CONTAINERID") == "c1");
  net.check(one);
}

TEST_CASE("containers reach each other through the host at once", "[veth][ipv6]") {
  VethNetwork net;
  net.give_by_number();
  const Attached one = net.add("c1");
  const Attached two = net.add("c2");
  for (const char* address : {"10.1.2.3", "fd00:1:2::3"}) CHECK(ping(*one.container, address));
  for (const char* address : {"10.1.2.2", "fd00:1:2::2"}) CHECK(ping(*two.container, address));
}

// What these addresses have in common: the network they are of is no help.
TEST_CASE("addresses of every kind work from the first packet on", "[veth][ipv6]") {
  VethNetwork net;
  Json ips;
  Texts on_host;
  std::set<std::string> gateways;
  SECTION("of a single host") {
    ips = {{{"address", "10.1.2.5/32"}, {"gateway", "10.1.2.1"}},
           {{"address", "fd00:1:2::5/128"}, {"gateway", "fd00:1:2::1"}}};
    on_host = {"10.1.2.1/32", "fd00:1:2::1/128"};
  }
  SECTION("several with one gateway") {
    ips = {{{"address", "10.1.2.5/24"}, {"gateway", "10.1.2.1"}},
           {{"address", "10.1.2.6/24"}, {"gateway", "10.1.2.1"}},
           {{"address", "10.7.7.7/32"}, {"gateway", "10.1.2.1"}},
           {{"address", "fd00:1:2::5/64"}, {"gateway", "fd00:1:2::1"}},
           {{"address", "fd00:1:2::6/64"}, {"gateway", "fd00:1:2::1"}}};
    on_host = {"10.1.2.1/32", "fd00:1:2::1/128"};
  }
  SECTION("several of one network with a gateway each") {
    ips = {{{"address", "10.1.2.5/24"}, {"gateway", "10.1.2.1"}},
           {{"address", "10.1.2.6/24"}, {"gateway", "10.1.2.254"}},
           {{"address", "fd00:1:2::5/64"}, {"gateway", "fd00:1:2::1"}},
           {{"address", "fd00:1:2::6/64"}, {"gateway", "fd00:1:2::fe"}}};
    on_host = {"10.1.2.1/32", "10.1.2.254/32", "fd00:1:2::fe/128", "fd00:1:2::1/128"};
  }
  SECTION("with a gateway beyond the network") {
    ips = {{{"address", "10.1.2.5/24"}, {"gateway", "192.168.7.1"}},
           {{"address", "fd00:1:2::5/64"}, {"gateway", "fd00:7::1"}}};
    on_host = {"192.168.7.1/32", "fd00:7::1/128"};
  }
  SECTION("of the smallest networks") {
    ips = {{{"address", "10.1.2.5/31"}, {"gateway", "10.1.2.4"}},
           {{"address", "fd00:1:2::5/127"}, {"gateway", "fd00:1:2::4"}}};
    on_host = {"10.1.2.4/32", "fd00:1:2::4/128"};
  }
  SECTION("with a link-local gateway") {
    ips = {{{"address", "10.1.2.5/24"}, {"gateway", "169.254.1.1"}},
           {{"address", "fd00:1:2::5/64"}, {"gateway", "fe80::1"}}};
    on_host = {"169.254.1.1/32"};
  }
  net.give({{"ips", ips}, {"routes", {{{"dst", "0.0.0.0/0"}}, {{"dst", "::/0"}}}}});
  const Attached one = net.add("c1");
  net.check_reach(one);
  CHECK(addresses(net.host, host_end(one.result)) == on_host);
  net.check(one);

  // The others in the network are behind the gateway.
  net.give({{"ips",
             {{{"address", "10.1.2.77/24"}, {"gateway", "10.1.2.1"}},
              {{"address", "fd00:1:2::77/64"}, {"gateway", "fd00:1:2::1"}}}}});
  const Attached other = net.add("c2");
  CHECK(ping(*one.container, "10.1.2.77"));
  CHECK(ping(*one.container, "fd00:1:2::77"));
  CHECK(ping(*other.container, "10.1.2.5"));
  CHECK(ping(*other.container, "fd00:1:2::5"));
}

TEST_CASE("addresses without a gateway get a link-local one", "[veth][ipv6]") {
  VethNetwork net;
  net.give({{"ips", {{{"address", "10.1.2.5/24"}}, {{"address", "fd00:1:2::5/64"}}}},
            {"routes", {{{"dst", "0.0.0.0/0"}}, {{"dst", "::/0"}}}}});
  const Attached one = net.add("c1");
  CHECK(one.result["ips"] ==
        Json{{{"address", "10.1.2.5/24"}, {"gateway", "169.254.1.1"}, {"interface", 1}},
             {{"address", "fd00:1:2::5/64"}, {"gateway", "fe80::1"}, {"interface", 1}}});
  net.check_reach(one);
  CHECK_THAT(one.container->run("ip route show default"), Contains("via 169.254.1.1 dev eth0"));
  CHECK_THAT(one.container->run("ip -6 route show default"), Contains("via fe80::1 dev eth0"));
  CHECK_THAT(net.host.run("ip -6 address show dev " + host_end(one.result)),
             Contains("inet6 fe80::1/128 scope link nodad"));
  net.check(one);
  // On every host end.
  const Json routes = {{{"dst", "0.0.0.0/0"}}, {{"dst", "::/0"}}};
  net.give({{"ips", {{{"address", "10.1.2.6/32"}}, {{"address", "fd00:1:2::6/128"}}}},
            {"routes", routes}});
  const Attached two = net.add("c2");
  net.check_reach(two);
  CHECK(ping(*one.container, "10.1.2.6"));
  CHECK(ping(*one.container, "fd00:1:2::6"));
  const Snapshot before = net.snapshot();
  net.give({{"ips", {{{"address", "10.1.2.7/32"}}, {{"address", "fd00:1:2::7/128"}}}}});
  net.del(net.add("c3"));
  CHECK(difference(before, net.snapshot()) == "");
}

TEST_CASE("a route may lead through any address of the network", "[veth][ipv6]") {
  VethNetwork net;
  Json routes = {{{"dst", "10.9.0.0/16"}, {"gw", "10.1.2.9"}},
                 {{"dst", "fd09::/16"}, {"gw", "fd00:1:2::9"}}};
  net.give({{"ips",
             {{{"address", "10.1.2.5/24"}, {"gateway", "10.1.2.1"}},
              {{"address", "fd00:1:2::5/64"}, {"gateway", "fd00:1:2::1"}}}},
            {"routes", routes}});
  const Attached one = net.add("c1");
  CHECK_THAT(one.container->run("ip route show 10.9.0.0/16"), Contains("via 10.1.2.9 dev eth0"));
  CHECK_THAT(one.container->run("ip -6 route show fd09::/16"),
             Contains("via fd00:1:2::9 dev eth0"));
  net.check(one);
  net.del(one);
  // Not through one of another network.
  routes[0]["gw"] = "10.1.3.9";
  net.give({{"ips", {{{"address", "10.1.2.5/24"}, {"gateway", "10.1.2.1"}}}}, {"routes", routes}});
  CHECK_THAT(net.run("ADD", net.attachment("c2")).text(), Contains("10.9.0.0/16 via 10.1.3.9"));
}

TEST_CASE("the MTU is set on both ends of the pair", "[veth]") {
  VethNetwork net;
  int expected = 1400;
  SECTION("a number") {
    net.config["mtu"] = 1400;
  }
  SECTION("that of the way out, less the overhead") {
    net.host.run("ip link add uplink mtu 1450 type veth peer name far");
    net.host.run("ip link set uplink up");
    net.host.run("ip address add 192.0.2.1/24 dev uplink");
    net.host.run("ip route add default via 192.0.2.2");
    net.config["mtu"] = "auto";
    net.config["mtuOverhead"] = 50;
  }
  SECTION("the kernel's") {
    expected = 1500;
  }
  const Attached one = net.add("c1");
  CHECK(link(*one.container, "eth0")["mtu"] == expected);
  CHECK(link(net.host, host_end(one.result))["mtu"] == expected);
  CHECK(one.result["interfaces"][1]["mtu"] == expected);
  net.check(one);
}

TEST_CASE("CNI_ARGS of any kind do not disturb veth", "[veth]") {
  VethNetwork net;
  net.args = GENERATE(as<std::string>{}, "rubbish", "MAC=02:00:00:00:00:03", "UNKNOWN=1");
  const Attached one = net.add("c1");
  CHECK(link(*one.container, "eth0")["address"] != "02:00:00:00:00:03");
}

TEST_CASE("a container may be attached twice by veth", "[veth][ipv6]") {
  VethNetwork net;
  net.give_dual_stack();
  const Attached first = net.add("c1");
  Attached second{.container = first.container, .id = "c1", .ifname = "net1"};
  net.give({{"ips",
             {{{"address", "10.1.2.6/24"}, {"gateway", "10.1.2.1"}},
              {{"address", "fd00:1:2::6/64"}, {"gateway", "fd00:1:2::1"}}}}});
  net.add(second);
  CHECK(host_end(first.result) != host_end(second.result));
  net.check(first);
  net.check(second);
  net.del(second);
  CHECK_FALSE(first.container->has_link("net1"));
  net.check(first);
  net.check_reach(first);
}

TEST_CASE("DEL of veth works by the other name", "[veth]") {
  VethNetwork net;
  const Snapshot before = net.snapshot();
  const Attached one = net.add("c1");
  net.config["type"] = net.plugin = "ptp";
  for (int round = 0; round < 2; ++round) net.del(one);
  CHECK(net.take_ipam_verbs() == Texts{"ADD", "DEL", "DEL"});
  CHECK(difference(before, net.snapshot()) == "");
}
