// An ADD that fails leaves the host, the container and the files as they were. Every failure here
// comes from outside, at another step of the way.
#include <catch2/catch.hpp>
#include <functional>

#include "plugin/bridge_network.h"

using Catch::Contains;
using namespace cni::test;  // NOLINT(google-build-using-namespace)

namespace {

using Texts = std::vector<std::string>;

struct Failure {
  const char* name;
  int code;
  const char* message;
  Texts ipam_verbs;
  // Makes it happen: in the network, the container, or the call to come.
  std::function<void(BridgeNetwork&, const Attached&)> arrange;
  std::function<void(PluginCall&)> change = [](PluginCall&) {};
};

const Json kAddresses = {{{"address", "10.1.2.5/24"}, {"gateway", "10.1.2.1"}},
                         {{"address", "fd00:1:2::5/64"}, {"gateway", "fd00:1:2::1"}}};
const Texts kUndone = {"ADD", "DEL"};
const Texts kNotAsked = {};

void nothing(BridgeNetwork& /*net*/, const Attached& /*attached*/) {}

auto ipam_says(const FakePlugin::Reply& reply) {
  return [reply](BridgeNetwork& net, const Attached&) { net.ipam.reply("ADD", reply); };
}

auto ipam_gives(const Json& answer) {
  return [answer](BridgeNetwork& net, const Attached&) { net.give(answer); };
}

std::vector<Failure> failures() {
  return {
      {"IPAM refuses", 11, "try later", kUndone,
       ipam_says({.out = R"({"cniVersion":"1.1.0","code":11,"msg":"try later"})", .status = 1})},
      {"IPAM says nothing and fails", 999, "netplugin failed with no error message", kUndone,
       ipam_says({.status = 3})},
      {"IPAM is killed", 999, "signal", kUndone, ipam_says({.before = "kill -9 $$"})},
      {"IPAM gives no addresses", 999, "IPAM plugin returned missing IP config", kUndone,
       ipam_gives({{"ips", Json::array()}})},
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
      {"the kernel refuses a route", 999, "failed to add route '10.9.0.0/16 via 10.200.0.1",
       kUndone,
       ipam_gives(
           {{"ips", kAddresses}, {"routes", {{{"dst", "10.9.0.0/16"}, {"gw", "10.200.0.1"}}}}})},
      {"the kernel refuses an address", 999, "10.1.2.5/24", kUndone,
       ipam_gives({{"ips",
                    {{{"address", "10.1.2.5/24"}, {"gateway", "10.1.2.1"}},
                     {{"address", "10.1.2.5/24"}, {"gateway", "10.1.2.1"}}}}})},
      {"the kernel refuses the MTU", 999, "invalid argument", kNotAsked,
       [](BridgeNetwork& net, const Attached&) { net.config["mtu"] = 10; }},
      {"the name is taken in the container", 999, "already exists", kNotAsked,
       [](BridgeNetwork&, const Attached& attached) {
         attached.container->run("ip link add eth0 type bridge");
         attached.container->run("ip address add 10.8.8.8/24 dev eth0");
       }},
      {"stdout is full", 0, "", kUndone, nothing,
       [](PluginCall& call) { call.stdout_path = "/dev/full"; }},
      {"stdout is closed", 0, "", kUndone, nothing,
       [](PluginCall& call) { call.stdout_closed = true; }},
      {"layer 2 in a version that needs addresses", 999, "no valid IP addresses", kNotAsked,
       [](BridgeNetwork& net, const Attached&) {
         net.without_ipam();
         net.config["cniVersion"] = "0.2.0";
       }},
      {"the namespace is not there", 8, "failed to Statfs \"/run/netns/no-such\"", kNotAsked,
       nothing, [](PluginCall& call) { call.netns = "/run/netns/no-such"; }},
      {"the namespace is a file", 8, "unknown FS magic on \"/etc/passwd\"", kNotAsked, nothing,
       [](PluginCall& call) { call.netns = "/etc/passwd"; }},
      {"the namespace is a directory", 8, "/run", kNotAsked, nothing,
       [](PluginCall& call) { call.netns = "/run"; }},
      {"the namespace is of another type", 8, "/proc/self/ns/mnt", kNotAsked, nothing,
       [](PluginCall& call) { call.netns = "/proc/self/ns/mnt"; }},
      {"the namespace is the plugin's own", 8, "should not be the same", kNotAsked, nothing,
       [](PluginCall& call) { call.netns = call.host; }},
      {"the IPAM plugin is not there", 7, "failed to find plugin \"no-such\"", kNotAsked,
       [](BridgeNetwork& net, const Attached&) { net.config["ipam"]["type"] = "no-such"; }},
      {"the IPAM plugin is a path", 7, "invalid plugin name: ../x", kNotAsked,
       [](BridgeNetwork& net, const Attached&) { net.config["ipam"]["type"] = "../x"; }},
      {"the IPAM plugin is this plugin", 7, "", kNotAsked,
       [](BridgeNetwork& net, const Attached&) { net.config["ipam"]["type"] = "bridge"; }},
      {"an MTU out of range", 7, "key \"mtu\" is -1", kNotAsked,
       [](BridgeNetwork& net, const Attached&) { net.config["mtu"] = -1; }},
      {"masquerading as an address that the host does not have", 7, "192.0.2.99", kUndone,
       [](BridgeNetwork& net, const Attached&) {
         net.config["ipMasq"] = {{"snat", {{"ipv4", "192.0.2.99"}}}};
       }},
      {"automatic MTU without a default route", 11, "default route", kNotAsked,
       [](BridgeNetwork& net, const Attached&) { net.config["mtu"] = "auto"; }},
      {"CNI_ARGS that cannot be read", 7, "rubbish", kNotAsked,
       [](BridgeNetwork& net, const Attached&) { net.args = "rubbish"; }},
      {"the address of another container on the link, with enabledad", 999, "in DADFAILED state",
       kUndone,
       [](BridgeNetwork& net, const Attached&) {
         net.config["enabledad"] = true;
         net.give({{"ips", {{{"address", "fd00:1:2::1/64"}, {"gateway", "fd00:1:2::1"}}}}});
       }},
  };
}

}  // namespace

TEST_CASE("a failed ADD changes nothing", "[bridge][rollback][ipv6]") {
  const bool first = GENERATE(true, false);
  const std::size_t number = GENERATE(range(std::size_t{0}, failures().size()));
  const Failure failure = failures().at(number);
  INFO(failure.name << (first ? ", first ADD of the network" : ", bridge in use"));

  BridgeNetwork net;
  std::optional<Attached> other;
  if (!first) {
    net.give({{"ips",
               {{{"address", "10.1.2.9/24"}, {"gateway", "10.1.2.1"}},
                {{"address", "fd00:1:2::9/64"}, {"gateway", "fd00:1:2::1"}}}}});
    other = net.add("other");
  }
  net.give({{"ips", kAddresses}});
  Attached attached = net.attachment("c1");
  failure.arrange(net, attached);
  net.take_ipam_verbs();
  const Snapshot host_before = net.snapshot();
  const Snapshot container_before = Snapshot::take(attached.container->path());

  PluginCall call = net.call("ADD", attached);
  failure.change(call);
  const PluginOutcome outcome = run_plugin_binary(call);
  INFO(outcome.text());
  CHECK(outcome.status == 1);
  CHECK(outcome.signal == 0);
  CHECK_FALSE(outcome.timed_out);
  CHECK_FALSE(outcome.left_processes);
  CHECK(outcome.code() == failure.code);
  CHECK_THAT(outcome.message(), Contains(failure.message));
  if (failure.code != 0) {
    REQUIRE(outcome.json);
    CHECK(outcome.json->contains("cniVersion"));
  }

  CHECK(difference(host_before, net.snapshot()) == "");
  CHECK(difference(container_before, Snapshot::take(attached.container->path())) == "");
  CHECK(net.host.has_link("br0") == !first);
  CHECK(net.take_ipam_verbs() == failure.ipam_verbs);
  if (other) CHECK(ping(*other->container, "10.1.2.1"));

  // The runtime sends a DEL after all; it finds nothing to do.
  CHECK(
      run_plugin_binary(net.call("DEL", attached)).status ==
      (net.config.value("ipam", Json::object()).value("type", "fake-ipam") == "fake-ipam" ? 0 : 1));
  CHECK(difference(host_before, net.snapshot()) == "");
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

TEST_CASE("a second ADD is refused and the first attachment untouched", "[bridge][rollback]") {
  BridgeNetwork net;
  const Attached one = net.add("c1");
  net.take_ipam_verbs();
  const Snapshot host_before = net.snapshot();
  const Snapshot container_before = Snapshot::take(one.container->path());

  Attached again = one;
  again.result = {};
  const bool other_container = GENERATE(false, true);
  if (other_container) again.id = "c2";
  const PluginOutcome outcome = net.run("ADD", again);
  INFO(outcome.text());
  CHECK(outcome.code() == 999);
  CHECK_THAT(outcome.message(), Catch::Matches("container veth name \\(\"eth0\"\\) peer provided "
                                               "\\(\"veth[0-9a-f]{8}\"\\) already exists"));
  CHECK(difference(host_before, net.snapshot()) == "");
  CHECK(difference(container_before, Snapshot::take(one.container->path())) == "");
  CHECK(net.take_ipam_verbs().empty());
  const PluginOutcome check = net.run("CHECK", one);
  INFO(check.text());
  CHECK(check.status == 0);
  CHECK(ping(*one.container, "10.1.2.1"));
}

// The container was restarted without DEL; a process still holds its old namespace.
TEST_CASE("ADD in a new namespace takes over what the dead one left", "[bridge][rollback]") {
  BridgeNetwork net;
  const Attached old = net.add("c1");
  Attached again = net.attachment("c1");
  net.add(again);
  CHECK(port_name(again.result) == port_name(old.result));
  CHECK_FALSE(old.container->has_link("eth0"));
  CHECK(ping(*again.container, "10.1.2.1"));
  const PluginOutcome check = net.run("CHECK", again);
  INFO(check.text());
  CHECK(check.status == 0);
  net.del(again);
  CHECK_FALSE(net.host.has_link(port_name(again.result)));
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
  const PluginOutcome check = net.run("CHECK", one);
  INFO(check.text());
  CHECK(check.status == 0);
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
    const PluginOutcome check = net.run("CHECK", *other);
    INFO(check.text());
    CHECK(check.status == 0);
  } else {
    CHECK(addresses(net.host, "br0") == before);
  }
}
