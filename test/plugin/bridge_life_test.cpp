// The life of an attachment to a bridge: results, links without addresses, and DEL.
#include <catch2/catch.hpp>

#include "plugin/bridge_network.h"

using Catch::Contains;
using namespace cni::test;  // NOLINT(google-build-using-namespace)

using Texts = std::vector<std::string>;

TEST_CASE("ADD joins the container to the bridge and says what it did", "[bridge][ipv6]") {
  BridgeNetwork net;
  net.give({{"ips",
             {{{"address", "10.1.2.5/24"}, {"gateway", "10.1.2.1"}},
              {{"address", "fd00:1:2::5/64"}, {"gateway", "fd00:1:2::1"}}}},
            {"routes",
             {{{"dst", "0.0.0.0/0"}},
              {{"dst", "::/0"}},
              {{"dst", "10.9.0.0/16"}, {"gw", "10.1.2.9"}, {"mtu", 1300}, {"priority", 7}}}},
            {"dns", {{"nameservers", {"10.1.2.2", "10.1.2.2"}}, {"search", {"b", "a"}}}}});
  const Attached one = net.add("c1");
  const Json& result = one.result;

  CHECK(result["cniVersion"] == "1.1.0");
  REQUIRE(result["interfaces"].size() == 3);
  const Json bridge = link(net.host, "br0");
  const Json port = link(net.host, port_name(result));
  const Json inside = link(*one.container, "eth0");
  CHECK(result["interfaces"][0] ==
        Json{{"name", "br0"}, {"mac", bridge["address"]}, {"mtu", bridge["mtu"]}});
  CHECK(result["interfaces"][1] ==
        Json{{"name", port["ifname"]}, {"mac", port["address"]}, {"mtu", port["mtu"]}});
  CHECK(result["interfaces"][2] == Json{{"name", "eth0"},
                                        {"mac", inside["address"]},
                                        {"mtu", inside["mtu"]},
                                        {"sandbox", one.container->path()}});
  CHECK(port["ifname"].get<std::string>().size() == 12);
  CHECK_THAT(port["ifname"].get<std::string>(), Catch::StartsWith("veth"));
  CHECK(port["master"] == "br0");
  CHECK(port["operstate"] == "UP");
  CHECK(bridge["operstate"] == "UP");
  CHECK(result["ips"] ==
        Json{{{"address", "10.1.2.5/24"}, {"gateway", "10.1.2.1"}, {"interface", 2}},
             {{"address", "fd00:1:2::5/64"}, {"gateway", "fd00:1:2::1"}, {"interface", 2}}});
  CHECK(result["routes"] ==
        Json{{{"dst", "0.0.0.0/0"}},
             {{"dst", "::/0"}},
             {{"dst", "10.9.0.0/16"}, {"gw", "10.1.2.9"}, {"mtu", 1300}, {"priority", 7}}});
  CHECK(result["dns"] == Json{{"nameservers", {"10.1.2.2", "10.1.2.2"}}, {"search", {"b", "a"}}});

  CHECK(addresses(*one.container, "eth0") == Texts{"10.1.2.5/24", "fd00:1:2::5/64"});
  CHECK(addresses(net.host, "br0") == Texts{"10.1.2.1/24", "fd00:1:2::1/64"});
  CHECK_THAT(one.container->run("ip route show"),
             Contains("default via 10.1.2.1 dev eth0") &&
                 Contains("10.9.0.0/16 via 10.1.2.9 dev eth0 metric 7 mtu 1300"));
  CHECK_THAT(one.container->run("ip -6 route show"), Contains("default via fd00:1:2::1 dev eth0"));
  CHECK(ping(*one.container, "10.1.2.1"));
  CHECK(ping(*one.container, "fd00:1:2::1"));
  CHECK(sysctl(net.host, "net/ipv6/conf/br0/accept_ra") == "0");
  CHECK(sysctl(net.host, "net/ipv6/conf/" + port_name(result) + "/accept_ra") == "0");

  // IPAM got the very configuration and the environment, in the host's namespace.
  const FakePlugin::Call call = net.ipam.calls().at(0);
  CHECK(Json::parse(call.input) == net.config);
  CHECK(call.environment.at("CNI_CONTAINERID") == "c1");
  CHECK(call.environment.at("CNI_IFNAME") == "eth0");
  CHECK(call.environment.at("CNI_NETNS") == one.container->path());
}

TEST_CASE("without IPAM the container gets a link on the bridge and no more", "[bridge]") {
  BridgeNetwork net;
  net.without_ipam();
  const Attached one = net.add("c1");
  CHECK(one.result["interfaces"].size() == 3);
  CHECK(one.result.value("ips", Json::array()).empty());
  CHECK(link(*one.container, "eth0")["operstate"] == "UP");
  CHECK(link(net.host, port_name(one.result))["master"] == "br0");
  CHECK(addresses(*one.container, "eth0").empty());
  CHECK(addresses(net.host, "br0").empty());
  net.check(one);
  CHECK(net.run("STATUS", one).status == 0);
  net.del(one);
  CHECK_FALSE(one.container->has_link("eth0"));
  CHECK(net.ipam.calls().empty());
}

TEST_CASE("disableContainerInterface leaves the container's link down", "[bridge]") {
  BridgeNetwork net;
  net.config["disableContainerInterface"] = true;
  const PluginOutcome refused = net.run("ADD", net.attachment("c1"));
  CHECK(refused.code() == 7);
  CHECK_THAT(refused.message(),
             Contains("cannot use IPAM when DisableContainerInterface flag is set"));
  CHECK_FALSE(net.host.has_link("br0"));

  net.without_ipam();
  const Attached one = net.add("c1");
  CHECK(one.result["interfaces"].size() == 3);
  const Json flags = link(*one.container, "eth0")["flags"];
  CHECK(std::find(flags.begin(), flags.end(), "UP") == flags.end());
  net.check(one);
  net.del(one);
  CHECK_FALSE(one.container->has_link("eth0"));
}

TEST_CASE("the sandbox is the path as it was given", "[bridge]") {
  BridgeNetwork net;
  Attached one = net.attachment("c1");
  PluginCall call = net.call("ADD", one);
  std::string path =
      "/run//netns/./" + one.container->path().substr(std::string("/run/netns/").size());
  SECTION("with needless parts") {}
  SECTION("a link") {
    path = net.directory / "link";
    run_checked({.argv = {"ln", "-s", one.container->path(), path}});
  }
  call.netns = path;
  const PluginOutcome outcome = run_plugin_binary(call);
  INFO(outcome.text());
  REQUIRE(outcome.status == 0);
  CHECK(outcome.json->at("interfaces")[2]["sandbox"] == path);
  // CHECK and DEL may come by another way.
  one.result = *outcome.json;
  net.check(one);
  net.del(one);
}

TEST_CASE("one container may be attached twice, under two names", "[bridge]") {
  BridgeNetwork net;
  net.give({{"ips", {{{"address", "10.1.2.5/24"}, {"gateway", "10.1.2.1"}}}},
            {"routes", {{{"dst", "0.0.0.0/0"}}}}});
  const Attached first = net.add("c1");
  net.config["name"] = "net2";
  net.config["bridge"] = "br1";
  net.give({{"ips", {{{"address", "10.7.2.5/24"}, {"gateway", "10.7.2.1"}}}},
            {"routes", {{{"dst", "0.0.0.0/0"}}}}});
  Attached second{.container = first.container, .id = "c1", .ifname = "net1"};
  net.add(second);
  CHECK(port_name(first.result) != port_name(second.result));
  CHECK(addresses(*first.container, "net1") == Texts{"10.7.2.5/24"});
  net.del(second);
  CHECK_FALSE(first.container->has_link("net1"));
  CHECK(first.container->has_link("eth0"));
  CHECK(net.host.has_link(port_name(first.result)));
  CHECK(ping(*first.container, "10.1.2.1"));
}

TEST_CASE("ADD does not fail for a bridge that comes up late", "[bridge]") {
  BridgeNetwork net;
  net.del(net.add("c1"));
  // As it stays for a while where many links change.
  net.host.run("ip link set br0 mode dormant");
  net.add("c2");
  CHECK(link(net.host, "br0")["operstate"] == "DORMANT");
}

TEST_CASE("DEL does not need the bridge", "[bridge]") {
  BridgeNetwork net;
  const Attached one = net.add("c1");
  net.host.run("ip link delete br0");
  for (int round = 0; round < 2; ++round) net.del(one);
  CHECK_FALSE(net.host.has_link(port_name(one.result)));
  CHECK(net.take_ipam_verbs() == Texts{"ADD", "DEL", "DEL"});
}

TEST_CASE("DEL with the plugin's own namespace touches none of its links", "[bridge]") {
  BridgeNetwork net;
  const Attached one = net.add("c1");
  net.host.run("ip link add eth0 type veth peer name other");
  PluginCall call = net.call("DEL", one);
  call.netns = net.host.path();
  const PluginOutcome outcome = run_plugin_binary(call);
  CHECK(outcome.code() == 8);
  CHECK(net.host.has_link("eth0"));
  CHECK_FALSE(net.host.has_link(port_name(one.result)));
}

TEST_CASE("DEL of a container touches no other", "[bridge]") {
  BridgeNetwork net;
  net.give_by_number();
  const Attached one = net.add("c1");
  const Attached ten = net.add("c10");
  const Attached eleven = net.add("c11");
  net.del(one);
  PluginCall never = net.call("DEL", net.attachment("c100"));
  CHECK(run_plugin_binary(never).status == 0);
  for (const Attached* other : {&ten, &eleven}) {
    net.check(*other);
    CHECK(ping(*other->container, "10.1.2.1"));
  }
  CHECK(ping(*ten.container, "10.1.2.12"));
}

TEST_CASE("an IPAM plugin that speaks through the link releases first", "[bridge]") {
  BridgeNetwork net;
  FakePlugin dhcp(net.directory.path(), "dhcp");
  dhcp.reply("ADD", {.out = R"({"cniVersion":"1.1.0","ips":[{"address":"10.1.2.5/24"}]})"});
  dhcp.reply("DEL", {.before = "ip link show >'" + (net.directory / "links") + "'"});
  net.config["ipam"]["type"] = "dhcp";
  const Attached one = net.add("c1");
  net.del(one);
  CHECK_THAT(read_whole_file(net.directory / "links"), Contains(port_name(one.result)));
  CHECK_FALSE(net.host.has_link(port_name(one.result)));
}

TEST_CASE("VERSION names all spec versions", "[bridge]") {
  const PluginOutcome outcome = run_plugin_binary(
      {.plugin = "bridge", .verb = "VERSION", .config = R"({"cniVersion":"0.4.0"})"});
  CHECK(outcome.status == 0);
  REQUIRE(outcome.json);
  CHECK(*outcome.json == Json{{"cniVersion", "0.4.0"},
                              {"supportedVersions",
                               {"0.1.0", "0.2.0", "0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0"}}});
}

TEST_CASE("the delegate has no descriptors of ours and sits in our namespace", "[bridge]") {
  BridgeNetwork net;
  net.ipam.reply("ADD", {.before = "readlink /proc/self/ns/net >'" + (net.directory / "ns") +
                                   "'\n" + R"sh(printf '{"ips":[{"address":"10.1.2.5/24"}]}')sh"});
  net.add("c1");
  const FakePlugin::Call call = net.ipam.calls().at(0);
  for (const auto& [fd, target] : call.descriptors) {
    INFO(target);
    CHECK(fd <= 2);
  }
  CHECK(read_whole_file(net.directory / "ns") == net.host.run("readlink /proc/self/ns/net"));
}
