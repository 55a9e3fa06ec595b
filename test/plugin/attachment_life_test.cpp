// The life of an attachment, as far as it is the same for every plugin that joins a container by a
// veth pair: every verb, every spec version, and DEL under bad circumstances.
#include <catch2/catch.hpp>

#include "plugin/bridge_network.h"
#include "plugin/veth_network.h"

using Catch::Contains;
using namespace cni::test;  // NOLINT(google-build-using-namespace)

using Texts = std::vector<std::string>;

TEMPLATE_TEST_CASE("an attachment goes through all verbs and leaves nothing",
                   "[bridge][veth][ipv6]", BridgeNetwork, VethNetwork) {
  TestType net;
  net.give_by_number();
  const Attached neighbour = net.add("c7");
  net.give_dual_stack();
  net.take_ipam_verbs();
  const Snapshot before = net.snapshot();

  Attached one = net.attachment("c1");
  // A link-local address of the kernel's would come at some later time.
  set_sysctl(*one.container, "net/ipv6/conf/default/addr_gen_mode", "1");
  const Snapshot container_before = Snapshot::take(one.container->path());
  net.add(one);
  const Snapshot during = net.snapshot();
  const Snapshot container_during = Snapshot::take(one.container->path());
  for (int round = 0; round < 2; ++round) net.check(one);
  CHECK(difference(during, net.snapshot()) == "");
  CHECK(difference(container_during, Snapshot::take(one.container->path())) == "");
  for (int round = 0; round < 3; ++round) net.del(one);
  CHECK(difference(before, net.snapshot()) == "");
  CHECK(difference(container_before, Snapshot::take(one.container->path())) == "");
  CHECK(net.take_ipam_verbs() == Texts{"ADD", "CHECK", "CHECK", "DEL", "DEL", "DEL"});
  net.check(neighbour);
  net.check_reach(neighbour);

  net.add(one);
  net.del(one);
}

TEMPLATE_TEST_CASE("an attachment comes where the kernel has too many neighbours",
                   "[bridge][veth][ipv6][no-neighbours]", BridgeNetwork, VethNetwork) {
  TestType net;
  net.give_by_number();
  const Attached other = net.add("c7");
  net.give_dual_stack();
  const Snapshot before = net.snapshot();
  const Attached one = net.add("c1");
  CHECK(one.result["ips"].size() == 2);
  net.check(one);
  net.del(one);
  CHECK(difference(before, net.snapshot()) == "");
}

TEMPLATE_TEST_CASE("results have the shape of the asked spec version", "[bridge][veth][ipv6]",
                   BridgeNetwork, VethNetwork) {
  TestType net;
  net.give_dual_stack();
  const std::string version =
      GENERATE("", "0.1.0", "0.2.0", "0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0");
  INFO(version);
  net.config["cniVersion"] = version;
  const Attached one = net.add("c1");
  const Json& result = one.result;
  CHECK(result["cniVersion"] == (version.empty() ? "0.1.0" : version));
  if (version < "0.3.0") {
    CHECK(result["ip4"] == Json{{"ip", "10.1.2.5/24"},
                                {"gateway", "10.1.2.1"},
                                {"routes", {{{"dst", "0.0.0.0/0"}}}}});
    CHECK(result["ip6"] == Json{{"ip", "fd00:1:2::5/64"},
                                {"gateway", "fd00:1:2::1"},
                                {"routes", {{{"dst", "::/0"}}}}});
    CHECK_FALSE(result.contains("interfaces"));
    CHECK_FALSE(result.contains("ips"));
    CHECK_FALSE(result.contains("routes"));
  } else {
    const std::size_t inner = net.plugin == "bridge" ? 2 : 1;
    REQUIRE(result["interfaces"].size() == inner + 1);
    CHECK(result["interfaces"][inner].contains("mtu") == (version == "1.1.0"));
    CHECK(result["interfaces"][inner]["sandbox"] == one.container->path());
    CHECK_FALSE(result["interfaces"][0].contains("sandbox"));
    CHECK(result["ips"][0].contains("version") == (version < "1.0.0"));
    CHECK(result["ips"][1]["interface"] == inner);
    CHECK(result["routes"].size() == 2);
  }
  const PluginOutcome check = net.run("CHECK", one);
  INFO(check.text());
  if (version < "0.4.0") {
    CHECK(check.code() == 1);
  } else {
    CHECK(check.status == 0);
  }
  net.del(one);
  CHECK_FALSE(one.container->has_link("eth0"));
}

TEMPLATE_TEST_CASE("DNS of the configuration replaces that of IPAM, unchanged", "[bridge][veth]",
                   BridgeNetwork, VethNetwork) {
  TestType net;
  net.give({{"ips", {{{"address", "10.1.2.5/24"}}}}, {"dns", {{"nameservers", {"10.1.2.2"}}}}});
  const Attached one = net.add("c1");
  CHECK(one.result["dns"] == Json{{"nameservers", {"10.1.2.2"}}});
  net.del(one);
  net.config["dns"] = {{"nameservers", {"9.9.9.9", "1.1.1.1", "9.9.9.9"}},
                       {"search", {"b", "a"}},
                       {"options", {"ndots:5", "ndots:5"}}};
  CHECK(net.add("c2").result["dns"] == net.config["dns"]);
}

TEMPLATE_TEST_CASE("forwarding is turned on for the families that are there",
                   "[bridge][veth][ipv6]", BridgeNetwork, VethNetwork) {
  TestType net;
  set_sysctl(net.host, "net/ipv4/ip_forward", "0");
  set_sysctl(net.host, "net/ipv6/conf/all/forwarding", "0");
  net.add("c1");
  CHECK(sysctl(net.host, "net/ipv4/ip_forward") == "1");
  CHECK(sysctl(net.host, "net/ipv6/conf/all/forwarding") == "0");
  net.give({{"ips", {{{"address", "fd00:1:2::6/64"}}}}});
  net.add("c2");
  CHECK(sysctl(net.host, "net/ipv6/conf/all/forwarding") == "1");
}

TEMPLATE_TEST_CASE("IPv6 is switched on where it is needed", "[bridge][veth][ipv6]", BridgeNetwork,
                   VethNetwork) {
  TestType net;
  net.give_by_number();
  Attached one = net.attachment("c1");
  for (const Namespace* where :
       {static_cast<const Namespace*>(&net.host), static_cast<const Namespace*>(one.container)}) {
    set_sysctl(*where, "net/ipv6/conf/all/disable_ipv6", "1");
    set_sysctl(*where, "net/ipv6/conf/default/disable_ipv6", "1");
  }
  net.add(one);
  CHECK(sysctl(*one.container, "net/ipv6/conf/eth0/disable_ipv6") == "0");
  CHECK(addresses(*one.container, "eth0") == Texts{"10.1.2.2/24", "fd00:1:2::2/64"});
  net.check(one);
  net.check_reach(one);
}

TEMPLATE_TEST_CASE("an address is at hand again and again", "[bridge][veth][neighbour][ipv6]",
                   BridgeNetwork, VethNetwork) {
  TestType net;
  net.give_by_number();
  const Attached other = net.add("c1");
  int lost = 0;
  for (int round = 0; round < 20; ++round) {
    const Attached one = net.add("c2");
    for (const std::string address : {"10.1.2.3", "fd00:1:2::3"}) {
      lost += ping(net.host, address) ? 0 : 1;
      lost += ping(*other.container, address) ? 0 : 1;
    }
    net.del(one);
  }
  CHECK(lost == 0);
}

// Each of these is a way in which runtimes call DEL. All have to clean the host.
TEMPLATE_TEST_CASE("DEL removes everything whatever it is told", "[bridge][veth][ipv6]",
                   BridgeNetwork, VethNetwork) {
  TestType net;
  net.give_dual_stack();
  net.del(net.add("settle"));
  net.take_ipam_verbs();
  const Snapshot before = net.snapshot();
  const Attached one = net.add("c1");
  const std::string outer = host_end(one.result);
  PluginCall call = net.call("DEL", one);
  int expected_status = 0;
  bool asks_ipam = true;
  Json config = Json::parse(call.config);

  SECTION("no CNI_NETNS, while something else keeps the namespace") {
    call.netns = "";
  }
  SECTION("CNI_NETNS unset") {
    call.environment["CNI_NETNS"] = std::nullopt;
  }
  SECTION("the path of the namespace is gone, something else keeps the namespace") {
    call.netns = "/run/netns/no-such";
  }
  SECTION("the namespace is gone") {
    one.container->remove();
  }
  SECTION("the path is a regular file") {
    call.netns = net.directory.write("file", "");
  }
  SECTION("the path is a directory") {
    call.netns = net.directory.path();
  }
  SECTION("the path is a namespace of another type") {
    call.netns = "/proc/self/ns/mnt";
  }
  SECTION("the path is a FIFO") {
    call.netns = net.directory / "fifo";
    run_checked({.argv = {"mkfifo", call.netns}});
  }
  SECTION("CNI_NETNS is the plugin's own") {
    call.netns = net.host.path();
    expected_status = 1;
  }
  SECTION("no prevResult") {
    config.erase("prevResult");
  }
  SECTION("an empty prevResult") {
    config["prevResult"] = Json::object();
  }
  SECTION("prevResult null") {
    config["prevResult"] = nullptr;
  }
  SECTION("a prevResult that cannot be read") {
    config["prevResult"] = {{"cniVersion", "1.1.0"}, {"ips", {{{"address", "rubbish"}}}}};
  }
  SECTION("another network name and other values") {
    config["name"] = "renamed";
    config["dns"] = "rubbish";
    config["bridge"] = "br9";
    config["isGateway"] = false;
    config["mtu"] = -1;
    config["vlan"] = 9999;
    config["hairpinMode"] = config["promiscMode"] = true;
    config["vlanMode"] = "sideways";
    call.netns = "";
  }
  SECTION("no IPAM any more") {
    config.erase("ipam");
    asks_ipam = false;
  }
  SECTION("an older spec version") {
    config["cniVersion"] = "0.2.0";
    config.erase("prevResult");
  }
  SECTION("CNI_ARGS that cannot be read") {
    call.args = "rubbish";
  }
  SECTION("the interface is gone already") {
    one.container->run("ip link delete eth0");
  }
  SECTION("the host end is gone already") {
    net.host.run("ip link delete " + outer);
  }

  call.config = config.dump();
  for (int round = 0; round < 2; ++round) {
    const PluginOutcome outcome = run_plugin_binary(call);
    INFO(outcome.text());
    CHECK(outcome.status == expected_status);
    if (expected_status == 0) {
      CHECK(outcome.out.empty());
    } else {
      CHECK(outcome.code() == 8);
    }
    CHECK_FALSE(net.host.has_link(outer));
  }
  CHECK(net.take_ipam_verbs() == (asks_ipam ? Texts{"ADD", "DEL", "DEL"} : Texts{"ADD"}));
  CHECK(difference(before, net.snapshot()) == "");
}

TEMPLATE_TEST_CASE("DEL goes on after IPAM has failed, and says so", "[bridge][veth]",
                   BridgeNetwork, VethNetwork) {
  TestType net;
  const Attached one = net.add("c1");
  SECTION("it fails") {
    net.ipam.reply("DEL", {.out = R"({"code": 11, "msg": "not now"})", .status = 1});
    const PluginOutcome outcome = net.run("DEL", one);
    CHECK(outcome.code() == 11);
    CHECK_THAT(outcome.message(), Contains("not now"));
  }
  SECTION("it is not installed any more") {
    run_checked({.argv = {"rm", net.ipam.path()}});
    const PluginOutcome outcome = net.run("DEL", one);
    CHECK(outcome.code() == 7);
    CHECK_THAT(outcome.message(), Contains("fake-ipam"));
  }
  CHECK_FALSE(net.host.has_link(host_end(one.result)));
  CHECK_FALSE(one.container->has_link("eth0"));
}

TEMPLATE_TEST_CASE("the address is released after the link is gone", "[bridge][veth]",
                   BridgeNetwork, VethNetwork) {
  TestType net;
  const Attached one = net.add("c1");
  net.ipam.reply("DEL", {.before = "ip link show >'" + (net.directory / "links") + "'"});
  net.del(one);
  const std::string links = read_whole_file(net.directory / "links");
  CHECK_THAT(links, Contains("lo:") && !Contains(host_end(one.result)));
}
