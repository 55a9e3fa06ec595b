// The keys of the bridge plugin, seen in the kernel.
#include <algorithm>
#include <catch2/catch.hpp>

#include "plugin/bridge_network.h"

using Catch::Contains;
using namespace cni::test;  // NOLINT(google-build-using-namespace)

using Texts = std::vector<std::string>;

namespace {

bool has_flag(const Json& link, const char* flag) {
  const Json& flags = link.at("flags");
  return std::find(flags.begin(), flags.end(), flag) != flags.end();
}

Json port_settings(const BridgeNetwork& net, const Attached& attached) {
  return link(net.host, port_name(attached.result)).at("linkinfo").at("info_slave_data");
}

void check_refused(BridgeNetwork& net, int code, const std::string& text) {
  const PluginOutcome outcome = net.run("ADD", net.attachment("refused"));
  INFO(outcome.text());
  CHECK(outcome.code() == code);
  CHECK_THAT(outcome.message(), Contains(text));
}

}  // namespace

TEST_CASE("the container's MAC comes from the most special place", "[bridge]") {
  BridgeNetwork net;
  std::string expected;
  SECTION("runtimeConfig") {
    net.config["runtimeConfig"] = {{"mac", "02:00:00:00:00:01"}};
    net.config["args"] = {{"cni", {{"mac", "02:00:00:00:00:02"}}}};
    net.args = "MAC=02:00:00:00:00:03";
    expected = "02:00:00:00:00:01";
  }
  SECTION("args.cni") {
    net.config["args"] = {{"cni", {{"mac", "02:00:00:00:00:02"}}}};
    net.args = "MAC=02:00:00:00:00:03";
    expected = "02:00:00:00:00:02";
  }
  SECTION("CNI_ARGS") {
    net.args = "IgnoreUnknown=1;MAC=02:00:00:00:00:03;X=y";
    expected = "02:00:00:00:00:03";
  }
  const Attached one = net.add("c1");
  CHECK(one.result["interfaces"][2]["mac"] == expected);
  CHECK(link(*one.container, "eth0")["address"] == expected);
}

TEST_CASE("an MTU is set on both ends", "[bridge]") {
  BridgeNetwork net;
  net.config["mtu"] = 1400;
  const Attached one = net.add("c1");
  CHECK(link(*one.container, "eth0")["mtu"] == 1400);
  CHECK(link(net.host, port_name(one.result))["mtu"] == 1400);
  CHECK(link(net.host, "br0")["mtu"] == 1400);
  CHECK(one.result["interfaces"][2]["mtu"] == 1400);
}

TEST_CASE("mtu \"auto\" takes that of the way out, less the overhead", "[bridge]") {
  BridgeNetwork net;
  const int uplink = GENERATE(1450, 9001);
  net.host.run("ip link add uplink mtu " + std::to_string(uplink) + " type veth peer name far");
  net.host.run("ip link set uplink up");
  net.host.run("ip address add 192.0.2.1/24 dev uplink");
  net.host.run("ip route add default via 192.0.2.2");
  net.config["mtu"] = "auto";
  int expected = uplink;
  SECTION("no overhead") {}
  SECTION("with overhead") {
    net.config["mtuOverhead"] = 50;
    expected -= 50;
  }
  const Attached one = net.add("c1");
  CHECK(link(*one.container, "eth0")["mtu"] == expected);
  CHECK(link(net.host, port_name(one.result))["mtu"] == expected);
  CHECK(link(net.host, "br0")["mtu"] == expected);
  CHECK(one.result["interfaces"][0]["mtu"] == expected);
  CHECK(one.result["interfaces"][2]["mtu"] == expected);
  CHECK(net.run("CHECK", one).status == 0);
  CHECK(net.run("STATUS", one).status == 0);

  // The bridge has that of its smallest port: it would drop what is too long for it without a word.
  net.host.run("ip link set uplink mtu 10000");
  net.config["mtuOverhead"] = 0;
  net.give({{"ips", {{{"address", "10.1.2.7/24"}}}}});
  CHECK(link(*net.add("c3").container, "eth0")["mtu"] == 10000);
  CHECK(link(net.host, "br0")["mtu"] == expected);
  net.host.run("ip link set uplink mtu 1300");
  net.config["mtuOverhead"] = 0;
  net.give({{"ips", {{{"address", "10.1.2.6/24"}}}}});
  const Attached two = net.add("c2");
  CHECK(link(*two.container, "eth0")["mtu"] == 1300);
  CHECK(link(net.host, "br0")["mtu"] == 1300);
}

TEST_CASE("mtu \"auto\" with an overhead that leaves nothing", "[bridge]") {
  BridgeNetwork net;
  net.host.run("ip link add uplink type veth peer name far");
  net.host.run("ip link set uplink up");
  net.host.run("ip route add default dev uplink");
  net.config["mtu"] = "auto";
  net.config["mtuOverhead"] = 1450;
  check_refused(net, 7, "key \"mtuOverhead\" is 1450");
}

TEST_CASE("hairpin mode and port isolation are settings of the port", "[bridge]") {
  BridgeNetwork net;
  CHECK(port_settings(net, net.add("c1"))["hairpin"] == false);
  net.give({{"ips", {{{"address", "10.1.2.6/24"}}}}});
  net.config["hairpinMode"] = true;
  const Json hairpin = port_settings(net, net.add("c2"));
  CHECK(hairpin["hairpin"] == true);
  CHECK(hairpin["isolated"] == false);
  net.give({{"ips", {{{"address", "10.1.2.7/24"}}}}});
  net.config["hairpinMode"] = false;
  net.config["portIsolation"] = true;
  const Json isolated = port_settings(net, net.add("c3"));
  CHECK(isolated["hairpin"] == false);
  CHECK(isolated["isolated"] == true);
}

TEST_CASE("isolated containers reach the gateway and not each other", "[bridge]") {
  BridgeNetwork net;
  net.give_by_number();
  net.config["portIsolation"] = true;
  const Attached one = net.add("c1");
  const Attached two = net.add("c2");
  CHECK(ping(*one.container, "10.1.2.1"));
  CHECK_FALSE(ping(*one.container, "10.1.2.3"));
}

TEST_CASE("promiscMode makes the bridge promiscuous", "[bridge]") {
  BridgeNetwork net;
  CHECK_FALSE(has_flag((net.add("c1"), link(net.host, "br0")), "PROMISC"));
  net.give({{"ips", {{{"address", "10.1.2.6/24"}}}}});
  net.config["promiscMode"] = true;
  CHECK(has_flag((net.add("c2"), link(net.host, "br0")), "PROMISC"));
}

TEST_CASE("without isGateway the host has no address on the bridge", "[bridge]") {
  BridgeNetwork net;
  net.config["isGateway"] = false;
  const Attached one = net.add("c1");
  CHECK(addresses(net.host, "br0").empty());
  CHECK(addresses(*one.container, "eth0") == Texts{"10.1.2.5/24"});
}

TEST_CASE("isGateway fills in a missing gateway", "[bridge][ipv6]") {
  BridgeNetwork net;
  net.give({{"ips", {{{"address", "10.1.2.5/24"}}, {{"address", "fd00:1:2::5/64"}}}}});
  const Attached one = net.add("c1");
  CHECK(one.result["ips"][0]["gateway"] == "10.1.2.1");
  CHECK(one.result["ips"][1]["gateway"] == "fd00:1:2::1");
  CHECK(addresses(net.host, "br0") == Texts{"10.1.2.1/24", "fd00:1:2::1/64"});
  CHECK_THAT(one.container->run("ip route show default"), Catch::Equals(""));
}

TEST_CASE("isDefaultGateway gives one default route per family", "[bridge][ipv6]") {
  BridgeNetwork net;
  net.config["isGateway"] = false;
  net.config["isDefaultGateway"] = true;
  const Json ips = {{{"address", "10.1.2.5/24"}, {"gateway", "10.1.2.1"}},
                    {{"address", "fd00:1:2::5/64"}, {"gateway", "fd00:1:2::1"}}};
  Json routes = Json::array();
  Json expected;
  std::string via = "10.1.2.1";
  SECTION("IPAM has none") {
    expected = {{{"dst", "0.0.0.0/0"}, {"gw", "10.1.2.1"}},
                {{"dst", "::/0"}, {"gw", "fd00:1:2::1"}}};
  }
  SECTION("IPAM has one without gateway") {
    routes = {{{"dst", "0.0.0.0/0"}}};
    expected = {{{"dst", "0.0.0.0/0"}}, {{"dst", "::/0"}, {"gw", "fd00:1:2::1"}}};
  }
  SECTION("IPAM has one with a gateway of its own") {
    via = "10.1.2.254";
    routes = {{{"dst", "0.0.0.0/0"}, {"gw", via}}};
    expected = {routes[0], {{"dst", "::/0"}, {"gw", "fd00:1:2::1"}}};
  }
  net.give({{"ips", ips}, {"routes", routes}});
  const Attached one = net.add("c1");
  CHECK(one.result["routes"] == expected);
  CHECK_THAT(one.container->run("ip route show default"),
             Catch::StartsWith("default via " + via + " dev eth0"));
  CHECK_THAT(one.container->run("ip -6 route show default"),
             Catch::StartsWith("default via fd00:1:2::1 dev eth0"));
  CHECK(net.run("CHECK", one).status == 0);
}

TEST_CASE("two IPv4 ranges have two gateways on the bridge", "[bridge]") {
  BridgeNetwork net;
  const bool force = GENERATE(false, true);
  net.config["forceAddress"] = force;
  net.give({{"ips",
             {{{"address", "10.1.2.5/24"}, {"gateway", "10.1.2.1"}},
              {{"address", "10.7.2.5/24"}, {"gateway", "10.7.2.1"}}}}});
  const Attached one = net.add("c1");
  CHECK(addresses(net.host, "br0") == Texts{"10.1.2.1/24", "10.7.2.1/24"});
  CHECK(ping(*one.container, "10.1.2.1"));
  CHECK(ping(*one.container, "10.7.2.1"));
  net.give({{"ips",
             {{{"address", "10.1.2.6/24"}, {"gateway", "10.1.2.1"}},
              {{"address", "10.7.2.6/24"}, {"gateway", "10.7.2.1"}}}}});
  net.add("c2");
  CHECK(addresses(net.host, "br0") == Texts{"10.1.2.1/24", "10.7.2.1/24"});
  CHECK(net.run("CHECK", one).status == 0);
}

TEST_CASE("IPv6 subnets live side by side on the bridge", "[bridge][ipv6]") {
  BridgeNetwork net;
  net.give({{"ips", {{{"address", "fd00:1:2::5/64"}}}}});
  net.add("c1");
  net.give({{"ips", {{{"address", "fd00:1:7::5/64"}}}}});
  net.add("c2");
  CHECK(addresses(net.host, "br0") == Texts{"fd00:1:7::1/64", "fd00:1:2::1/64"});
}

TEST_CASE("a bridge of ours that nobody uses takes a new subnet", "[bridge][ipv6]") {
  BridgeNetwork net;
  net.give({{"ips", {{{"address", "10.1.2.5/24"}}, {{"address", "fd00:1::5/16"}}}}});
  net.del(net.add("c1"));
  CHECK(addresses(net.host, "br0") == Texts{"10.1.2.1/24", "fd00::1/16"});
  net.give({{"ips", {{{"address", "10.7.2.5/24"}}, {{"address", "fd00:1::5/64"}}}}});
  const Attached one = net.add("c2");
  CHECK(addresses(net.host, "br0") == Texts{"10.7.2.1/24", "fd00:1::1/64"});
  CHECK(ping(*one.container, "10.7.2.1"));
}

TEST_CASE("a bridge whose maker was killed early is ours", "[bridge]") {
  BridgeNetwork net;
  net.del(net.add("c1"));
  const auto mac = link(net.host, "br0")["address"].get<std::string>();
  net.host.run("ip link delete br0");
  net.host.run("ip link add br0 address " + mac + " type bridge");
  const Attached one = net.add("c2");
  CHECK(link(net.host, "br0")["ifalias"] == "plumb bridge");
  CHECK(ping(*one.container, "10.1.2.1"));
}

TEST_CASE("a bridge in use keeps its subnet, and the error says what to do", "[bridge]") {
  BridgeNetwork net;
  const Attached one = net.add("c1");
  net.give({{"ips", {{{"address", "10.7.2.5/24"}}}}});
  const PluginOutcome outcome = net.run("ADD", net.attachment("c2"));
  INFO(outcome.text());
  CHECK(outcome.code() == 999);
  CHECK_THAT(outcome.message(),
             Contains("failed to set bridge addr: \"br0\" already has an IP address different from "
                      "10.7.2.1/24") &&
                 Contains("it has 10.1.2.1/24") && Contains("\"forceAddress\": true") &&
                 Contains("ip address del 10.1.2.1/24 dev br0"));
  CHECK(addresses(net.host, "br0") == Texts{"10.1.2.1/24"});
  CHECK(ping(*one.container, "10.1.2.1"));

  // As it says.
  SECTION("the command") {
    net.host.run("ip address del 10.1.2.1/24 dev br0");
  }
  SECTION("the key") {
    net.config["forceAddress"] = true;
  }
  CHECK(ping(*net.add("c3").container, "10.7.2.1"));
  CHECK(addresses(net.host, "br0") == Texts{"10.7.2.1/24"});
}

TEST_CASE("a bridge of somebody else keeps its address, idle or not", "[bridge]") {
  BridgeNetwork net;
  net.host.run("ip link add br0 type bridge");
  net.host.run("ip address add 10.3.3.3/24 dev br0");
  check_refused(net, 999, "it has 10.3.3.3/24");
  CHECK(addresses(net.host, "br0") == Texts{"10.3.3.3/24"});
  net.host.run("ip address del 10.3.3.3/24 dev br0");
  net.add("c1");
  CHECK(addresses(net.host, "br0") == Texts{"10.1.2.1/24"});
}

TEST_CASE("the name of the bridge is that of another link", "[bridge]") {
  BridgeNetwork net;
  net.host.run("ip link add br0 type veth peer name other");
  const Snapshot before = net.snapshot();
  check_refused(net, 7,
                "failed to create bridge \"br0\": \"br0\" already exists but is not a bridge");
  CHECK(difference(before, net.snapshot()) == "");
}

TEST_CASE("bad names of bridge and interface change nothing", "[bridge]") {
  BridgeNetwork net;
  const Snapshot before = net.snapshot();
  for (const char* name : {"", "sixteen-letters-", "a/b", "a:b", "a b", ".", "..", "all", "lo"}) {
    INFO(name);
    net.config["bridge"] = name;
    check_refused(net, 7, "failed to create bridge");
  }
  net.config["bridge"] = "br0";
  for (const char* name : {"lo", "all", "default", "eth%d", "sixteen-letters-", "a/b", ".."}) {
    INFO(name);
    Attached attached = net.attachment("c1");
    attached.ifname = name;
    CHECK(net.run("ADD", attached).code() == 4);
  }
  CHECK(difference(before, net.snapshot()) == "");
  CHECK(net.ipam.calls().empty());
}

TEST_CASE("names of fifteen bytes work", "[bridge]") {
  BridgeNetwork net;
  net.config["bridge"] = "fifteen-letters";
  Attached one = net.attachment("c1");
  one.ifname = "letters-fifteen";
  net.add(one);
  CHECK(addresses(*one.container, "letters-fifteen") == Texts{"10.1.2.5/24"});
  CHECK(net.run("CHECK", one).status == 0);
  net.del(one);
  CHECK_FALSE(one.container->has_link("letters-fifteen"));
}

TEST_CASE("the host end tells whose it is", "[bridge]") {
  BridgeNetwork net;
  const auto alias = [&](const Attached& attached) {
    return link(net.host, port_name(attached.result))["ifalias"].get<std::string>();
  };
  CHECK_THAT(alias(net.add("c1")), Catch::StartsWith("c1#eth0 plumb:"));
  net.give({{"ips", {{{"address", "10.1.2.6/24"}}}}});
  net.args = "IgnoreUnknown=1;K8S_POD_NAMESPACE=default;K8S_POD_NAME=web-0";
  CHECK_THAT(alias(net.add("c2")), Catch::StartsWith("default/web-0#eth0 plumb:"));
  net.give({{"ips", {{{"address", "10.1.2.7/24"}}}}});
  net.args = "IgnoreUnknown=1;K8S_POD_NAMESPACE=n;K8S_POD_NAME=" + std::string(400, 'p');
  const Attached longest = net.add("c3");
  CHECK(alias(longest).size() == 255);
  PluginCall del = net.call("DEL", longest);
  del.netns = "";
  CHECK(run_plugin_binary(del).status == 0);
  CHECK_FALSE(net.host.has_link(port_name(longest.result)));
}
