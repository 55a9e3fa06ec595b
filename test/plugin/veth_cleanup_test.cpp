// STATUS and GC of veth, containers that resist their removal, and the reference suite's ptp on the
// same node.
#include <catch2/catch.hpp>
#include <iostream>

#include "plugin/veth_network.h"

using Catch::Contains;
using namespace cni::test;  // NOLINT(google-build-using-namespace)

using Texts = std::vector<std::string>;

namespace {

constexpr const char* kReference = "/usr/lib/cni/ptp";

PluginCall network_call(const VethNetwork& net, const std::string& verb,
                        const Json& more = Json::object()) {
  Json config = net.config;
  config.update(more);
  return {.plugin = "veth",
          .verb = verb,
          .config = config.dump(),
          .path = net.directory.path(),
          .environment = {{"CNI_CONTAINERID", std::nullopt},
                          {"CNI_NETNS", std::nullopt},
                          {"CNI_IFNAME", std::nullopt}},
          .host = net.host.path()};
}

PluginOutcome gc(const VethNetwork& net, const Json& valid) {
  return run_plugin_binary(network_call(net, "GC", {{"cni.dev/valid-attachments", valid}}));
}

Json pair(const Attached& one) {
  return {{"containerID", one.id}, {"ifname", one.ifname}};
}

bool is_there(const VethNetwork& net, const Attached& one) {
  return net.host.has_link(host_end(one.result));
}

}  // namespace

TEST_CASE("STATUS of veth is fine when ADD would work, and changes nothing", "[veth][status]") {
  VethNetwork net;
  const Snapshot before = net.snapshot();
  const PluginOutcome outcome = run_plugin_binary(network_call(net, "STATUS"));
  INFO(outcome.text());
  CHECK(outcome.status == 0);
  CHECK(outcome.out.empty());
  CHECK(difference(before, net.snapshot()) == "");
  CHECK(net.take_ipam_verbs() == Texts{"STATUS"});
}

TEST_CASE("STATUS of veth says why ADD would not work", "[veth][status]") {
  VethNetwork net;
  int code = 50;
  std::string message;
  SECTION("IPAM says so") {
    net.ipam.reply("STATUS", {.out = R"({"code": 51, "msg": "no addresses left"})", .status = 1});
    code = 51;
    message = "no addresses left";
  }
  SECTION("IPAM is not installed") {
    run_checked({.argv = {"rm", net.ipam.path()}});
    code = 7;
    message = "fake-ipam";
  }
  SECTION("there is none") {
    net.config.erase("ipam");
    code = 7;
    message = "no plugin name provided";
  }
  SECTION("the configuration is wrong") {
    net.config["mtu"] = "much";
    code = 7;
    message = "key \"mtu\" is \"much\"";
  }
  SECTION("there is no way out to take the MTU from") {
    net.config["mtu"] = "auto";
    message = "default route";
  }
  const PluginOutcome outcome = run_plugin_binary(network_call(net, "STATUS"));
  INFO(outcome.text());
  CHECK(outcome.code() == code);
  CHECK_THAT(outcome.message(), Contains(message));
}

TEST_CASE("GC of veth removes what is of no valid attachment, by pairs", "[veth][gc][ipv6]") {
  VethNetwork net;
  net.give_by_number();
  const Attached valid = net.add("c1");
  const Attached stale = net.add("c10");
  net.give({{"ips", {{{"address", "10.1.2.66/24"}}}}});
  Attached stale_name{.container = valid.container, .id = "c1", .ifname = "net1"};
  net.add(stale_name);
  net.config["name"] = "net2";
  net.give({{"ips", {{{"address", "10.1.2.67/24"}}}}});
  const Attached other_network = net.add("c11");
  net.config["name"] = "net1";
  net.take_ipam_verbs();

  const PluginOutcome outcome = gc(net, Json::array({pair(valid)}));
  INFO(outcome.text());
  CHECK(outcome.status == 0);
  CHECK(outcome.out.empty());
  CHECK(is_there(net, valid));
  CHECK_FALSE(is_there(net, stale_name));
  CHECK_FALSE(is_there(net, stale));
  CHECK(is_there(net, other_network));
  CHECK(net.run("CHECK", valid).status == 0);
  CHECK(net.take_ipam_verbs() == Texts{"GC", "CHECK"});
  // The routes of the stale ones are free again.
  net.give_by_number();
  net.add("c10");
}

TEST_CASE("GC of veth needs no more than the name of the network", "[veth][gc]") {
  VethNetwork net;
  const Attached one = net.add("c1");
  net.config = {{"cniVersion", "1.1.0"}, {"name", "net1"}, {"type", "veth"}, {"mtu", "rubbish"}};
  CHECK(gc(net, Json::array()).status == 0);
  CHECK_FALSE(is_there(net, one));
}

// What a container with all rights in its own namespace can do about its interface.
TEST_CASE("DEL of veth succeeds whatever the container has done", "[veth][hostile][ipv6]") {
  VethNetwork net;
  net.give_dual_stack();
  const Snapshot before = net.snapshot();
  const Attached one = net.add("c1");
  const Namespace& inside = *one.container;
  Namespace& other = net.host.add_container();
  // Kernels before 6.2 rename a link only while it is down.
  SECTION("renamed") {
    inside.run("ip link set eth0 down");
    inside.run("ip link set eth0 name evil");
  }
  SECTION("deleted and replaced by a bridge") {
    inside.run("ip link delete eth0");
    inside.run("ip link add eth0 type bridge");
  }
  SECTION("renamed and replaced by another veth") {
    inside.run("ip link set eth0 down");
    inside.run("ip link set eth0 name evil");
    inside.run("ip link add eth0 type veth peer name eth1");
  }
  SECTION("moved to another namespace") {
    inside.run("ip link set eth0 netns " + other.path());
  }
  SECTION("flushed and given other addresses") {
    inside.run("ip address flush dev eth0");
    inside.run("ip address add 10.1.2.1/24 dev eth0");
  }
  for (int round = 0; round < 2; ++round) net.del(one);
  CHECK(difference(before, net.snapshot()) == "");
  CHECK_FALSE(inside.has_link("evil"));
}

TEST_CASE("the reference suite's ptp takes over from us and we from it", "[veth][reference]") {
  VethNetwork net;
  net.config["cniVersion"] = "1.0.0";
  net.config["type"] = "ptp";
  net.plugin = "ptp";
  net.give({{"cniVersion", "1.0.0"},
            {"ips",
             {{{"address", "10.1.2.5/24"}, {"gateway", "10.1.2.1"}},
              {{"address", "fd00:1:2::5/64"}, {"gateway", "fd00:1:2::1"}}}},
            {"routes", {{{"dst", "0.0.0.0/0"}}, {{"dst", "::/0"}}}}});
  const Snapshot before = net.snapshot();
  Attached one = net.attachment("c1");
  const Snapshot container_before = Snapshot::take(one.container->path());
  const auto reference = [&](const std::string& verb) {
    PluginCall call = net.call(verb, one);
    call.plugin = kReference;
    PluginOutcome outcome = run_plugin_binary(call);
    INFO(outcome.text());
    REQUIRE(outcome.status == 0);
    return outcome;
  };
  SECTION("their ADD, our CHECK and DEL") {
    one.result = *reference("ADD").json;
    const PluginOutcome check = net.run("CHECK", one);
    INFO(check.text());
    CHECK(check.status == 0);
    net.del(one);
  }
  SECTION("our ADD, their CHECK and DEL") {
    net.add(one);
    reference("CHECK");
    reference("DEL");
  }
  CHECK(difference(before, net.snapshot()) == "");
  CHECK(difference(container_before, Snapshot::take(one.container->path())) == "");
}

TEST_CASE("our container and one of the reference suite's ptp reach each other",
          "[veth][reference]") {
  VethNetwork net;
  net.config["cniVersion"] = "1.0.0";
  net.give(
      {{"cniVersion", "1.0.0"}, {"ips", {{{"address", "10.1.2.5/24"}, {"gateway", "10.1.2.1"}}}}});
  Attached theirs = net.attachment("c1");
  PluginCall call = net.call("ADD", theirs);
  call.plugin = kReference;
  const PluginOutcome added = run_plugin_binary(call);
  INFO(added.text());
  REQUIRE(added.status == 0);
  theirs.result = *added.json;
  net.give(
      {{"cniVersion", "1.0.0"}, {"ips", {{{"address", "10.1.2.6/24"}, {"gateway", "10.1.2.1"}}}}});
  const Attached ours = net.add("c2");
  CHECK(ping(*ours.container, "10.1.2.5"));
  CHECK(ping(*theirs.container, "10.1.2.6"));
}

TEST_CASE("a dual-stack ADD of veth does not wait", "[veth][reference]") {
  VethNetwork net;
  net.config["cniVersion"] = "1.0.0";
  net.give({{"cniVersion", "1.0.0"},
            {"ips",
             {{{"address", "10.1.2.5/24"}, {"gateway", "10.1.2.1"}},
              {{"address", "fd00:1:2::5/64"}, {"gateway", "fd00:1:2::1"}}}}});
  const auto add_with = [&](const std::string& plugin) {
    Attached one = net.attachment("c1");
    PluginCall call = net.call("ADD", one);
    call.plugin = plugin;
    const PluginOutcome outcome = run_plugin_binary(call);
    INFO(outcome.text());
    REQUIRE(outcome.status == 0);
    one.result = *outcome.json;
    net.del(one);
    return outcome.took;
  };
  const auto theirs = add_with(kReference);
  const auto ours = add_with("veth");
  std::cout << "  dual-stack ADD: ptp of the reference suite " << theirs.count() << " ms, veth "
            << ours.count() << " ms, the fake IPAM included\n";
  CHECK(ours < theirs);
}
