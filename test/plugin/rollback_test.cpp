// An ADD of bridge that fails, and what IPAM sees of it.
#include <catch2/catch.hpp>

#include "plugin/bridge_network.h"
#include "plugin/failed_add.h"

using Catch::Contains;
using namespace cni::test;  // NOLINT(google-build-using-namespace)

namespace {

std::vector<Failure> failures() {
  return {
      {"IPAM says nothing and fails", 999, "netplugin failed with no error message", kUndone,
       ipam_says({.status = 3})},
      {"IPAM is killed", 999, "signal", kUndone, ipam_says({.before = "kill -9 $$"})},
      {"IPAM talks rubbish", 999, "failed to unmarshal raw result", kUndone,
       ipam_says({.out = "xx"})},
      {"IPAM says nothing", 999, "", kUndone, ipam_says({})},
      {"IPAM stops in the middle", 999, "failed to unmarshal raw result", kUndone,
       ipam_says({.out = R"({"cniVersion":"1.1.0","ips":[{"address":"10.1.2.5/24")"})},
      {"IPAM speaks an unknown version", 999, "9.9.9", kUndone,
       ipam_gives({{"cniVersion", "9.9.9"}, {"ips", kAddresses}})},
      {"IPAM gives no address but a name", 999, "example", kUndone,
       ipam_gives({{"ips", {{{"address", "example"}}}}})},
      {"IPAM hangs", 11, "fake-ipam", kUndone, ipam_says({.before = "sleep 60"}),
       [](PluginCall& call) { call.environment["CNI_DELEGATE_TIMEOUT"] = "1"; }},
      {"the kernel refuses an address", 999, "10.1.2.5/24", kUndone,
       ipam_gives({{"ips",
                    {{{"address", "10.1.2.5/24"}, {"gateway", "10.1.2.1"}},
                     {{"address", "10.1.2.5/24"}, {"gateway", "10.1.2.1"}}}}})},
      {"layer 2 in a version that needs addresses", 999, "no valid IP addresses", kNotAsked,
       [](Network& net, const Attached&) {
         net.without_ipam();
         net.config["cniVersion"] = "0.2.0";
       }},
      {"the namespace is not there", 8, "failed to Statfs \"/run/netns/no-such\"", kNotAsked,
       nothing, [](PluginCall& call) { call.netns = "/run/netns/no-such"; }},
      {"the namespace is a directory", 8, "/run", kNotAsked, nothing,
       [](PluginCall& call) { call.netns = "/run"; }},
      {"the namespace is of another type", 8, "/proc/self/ns/mnt", kNotAsked, nothing,
       [](PluginCall& call) { call.netns = "/proc/self/ns/mnt"; }},
      {"the IPAM plugin is a path", 7, "invalid plugin name: ../x", kNotAsked,
       [](Network& net, const Attached&) { net.config["ipam"]["type"] = "../x"; }},
      {"the IPAM plugin is this plugin", 7, "", kNotAsked,
       [](Network& net, const Attached&) { net.config["ipam"]["type"] = "bridge"; }},
      {"masquerading as an address that the host does not have", 7, "192.0.2.99", kUndone,
       [](Network& net, const Attached&) {
         net.config["ipMasq"] = {{"snat", {{"ipv4", "192.0.2.99"}}}};
       }},
      {"CNI_ARGS that cannot be read", 7, "rubbish", kNotAsked,
       [](Network& net, const Attached&) { net.args = "rubbish"; }},
      {"the address of another container on the link, with enabledad", 999, "in DADFAILED state",
       kUndone,
       [](Network& net, const Attached&) {
         net.config["enabledad"] = true;
         net.give({{"ips", {{{"address", "fd00:1:2::1/64"}, {"gateway", "fd00:1:2::1"}}}}});
       }},
  };
}

}  // namespace

TEST_CASE("a failed ADD of bridge changes nothing", "[bridge][rollback][ipv6]") {
  const bool first = GENERATE(true, false);
  const auto all = failures();
  const std::size_t number = GENERATE_COPY(range(std::size_t{0}, all.size()));
  BridgeNetwork net;
  check_undone(all.at(number), net, first);
  CHECK(net.host.has_link("br0") == !first);
}

TEST_CASE("the undo DEL of IPAM has the environment and input of the ADD", "[bridge][rollback]") {
  BridgeNetwork net;
  net.ipam.reply("ADD", {.status = 1});
  CHECK(net.run("ADD", net.attachment("c1")).status == 1);
  const auto calls = net.ipam.calls();
  REQUIRE(calls.size() == 2);
  CHECK(calls[1].verb() == "DEL");
  CHECK(calls[1].input == calls[0].input);
  Environment expected = calls[0].environment;
  expected["CNI_COMMAND"] = "DEL";
  CHECK(calls[1].environment == expected);
}

TEST_CASE("a failed undo does not hide the first error", "[bridge][rollback]") {
  BridgeNetwork net;
  net.ipam.reply("ADD", {.out = R"({"code":100,"msg":"the cause"})", .status = 1});
  net.ipam.reply("DEL", {.out = R"({"code":101,"msg":"the undo"})", .status = 1});
  const PluginOutcome outcome = net.run("ADD", net.attachment("c1"));
  CHECK(outcome.code() == 100);
  CHECK(outcome.message() == "the cause");
  CHECK_THAT(outcome.err, Contains("the undo"));
  CHECK_FALSE(net.host.has_link("br0"));
}

TEST_CASE("a stranger with the name of a host end is left alone", "[bridge][rollback]") {
  BridgeNetwork net;
  const std::string name = [&] {
    const Attached one = net.add("c1");
    net.del(one);
    return port_name(one.result);
  }();
  net.host.run("ip link add " + name + " type bridge");
  const Attached one = net.add("c1");
  CHECK(port_name(one.result) != name);
  CHECK(ping(*one.container, "10.1.2.1"));
  net.check(one);
  PluginCall del = net.call("DEL", one);
  del.netns = "";
  SECTION("the stranger is there still") {}
  SECTION("the stranger has gone") {
    net.host.run("ip link delete " + name);
  }
  CHECK(run_plugin_binary(del).status == 0);
  CHECK_FALSE(net.host.has_link(port_name(one.result)));
  CHECK_FALSE(one.container->has_link("eth0"));
}

TEST_CASE("a failed ADD gives a bridge its addresses back", "[bridge][rollback][ipv6]") {
  BridgeNetwork net;
  std::optional<Attached> other;
  net.give({{"ips", {{{"address", "10.7.7.9/24"}}, {{"address", "fd00:7::9/64"}}}}});
  SECTION("one of ours that nobody uses, with another subnet") {
    net.del(net.add("c0"));
  }
  SECTION("one of somebody else without any") {
    net.host.run("ip link add br0 type bridge");
    net.host.run("ip link set br0 up");
  }
  SECTION("one in use, with forceAddress") {
    other = net.add("c0");
    net.config["forceAddress"] = true;
  }
  SECTION("one in use, without") {
    other = net.add("c0");
  }
  const std::vector<std::string> before = addresses(net.host, "br0");
  net.give({{"ips", {{{"address", "10.1.2.5/24"}}, {{"address", "fd00:1:2::5/64"}}}},
            {"routes", {{{"dst", "10.9.0.0/16"}, {"gw", "10.200.0.1"}}}}});
  const PluginOutcome outcome = net.run("ADD", net.attachment("c1"));
  INFO(outcome.text());
  CHECK(outcome.status == 1);
  if (other) {
    // What was added may stay: others use the bridge.
    CHECK(ping(*other->container, "10.7.7.1"));
    net.check(*other);
  } else {
    CHECK(addresses(net.host, "br0") == before);
  }
}
