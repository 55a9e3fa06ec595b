// STATUS and GC, which are the same for every plugin that joins a container by a veth pair.
#include <catch2/catch.hpp>

#include "plugin/bridge_network.h"
#include "plugin/veth_network.h"

using Catch::Contains;
using namespace cni::test;  // NOLINT(google-build-using-namespace)

using Texts = std::vector<std::string>;

namespace {

bool is_there(const Network& net, const Attached& one) {
  return net.host.has_link(host_end(one.result));
}

}  // namespace

TEMPLATE_TEST_CASE("STATUS is fine when ADD would work, and changes nothing",
                   "[bridge][veth][status]", BridgeNetwork, VethNetwork) {
  TestType net;
  const Snapshot before = net.snapshot();
  const PluginOutcome outcome = net.status();
  INFO(outcome.text());
  CHECK(outcome.status == 0);
  CHECK(outcome.out.empty());
  CHECK(difference(before, net.snapshot()) == "");
  CHECK(net.take_ipam_verbs() == Texts{"STATUS"});
  CHECK(Json::parse(net.ipam.calls().at(0).input) == net.config);

  net.add("c1");
  CHECK(net.status().status == 0);
}

TEMPLATE_TEST_CASE("STATUS says why ADD would not work", "[bridge][veth][status]", BridgeNetwork,
                   VethNetwork) {
  TestType net;
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
  SECTION("an MTU out of range") {
    net.config["mtu"] = -1;
    code = 7;
    message = "key \"mtu\" is -1";
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
  const PluginOutcome outcome = net.status();
  INFO(outcome.text());
  CHECK(outcome.code() == code);
  CHECK_THAT(outcome.message(), Contains(message));
}

TEMPLATE_TEST_CASE("STATUS does not look at CNI_ARGS, which are of no attachment",
                   "[bridge][veth][status]", BridgeNetwork, VethNetwork) {
  TestType net;
  PluginCall call = net.call_for_network("STATUS");
  call.args = "rubbish";
  const PluginOutcome outcome = run_plugin_binary(call);
  INFO(outcome.text());
  CHECK(outcome.status == 0);
}

TEMPLATE_TEST_CASE("GC removes what is of no valid attachment, by pairs",
                   "[bridge][veth][gc][ipv6]", BridgeNetwork, VethNetwork) {
  TestType net;
  net.give_by_number();
  const Attached valid = net.add("c1");
  Attached stale_name{.container = valid.container, .id = "c1", .ifname = "net1"};
  net.give({{"ips", {{{"address", "10.1.2.66/24"}}}}});
  net.add(stale_name);
  net.give_by_number();
  const Attached stale = net.add("c10");
  net.config["name"] = "net2";
  const Attached other_network = net.add("c11");
  net.config["name"] = "net1";
  net.host.run("ip link add vethffffffff type veth peer name stranger");
  net.take_ipam_verbs();

  const PluginOutcome outcome = net.gc(Json::array({attachment_of(valid)}));
  INFO(outcome.text());
  CHECK(outcome.status == 0);
  CHECK(outcome.out.empty());
  CHECK(is_there(net, valid));
  CHECK_FALSE(is_there(net, stale_name));
  CHECK_FALSE(is_there(net, stale));
  CHECK(is_there(net, other_network));
  CHECK(net.host.has_link("vethffffffff"));
  CHECK(net.run("CHECK", valid).status == 0);
  CHECK(ping(*valid.container, "10.1.2.1"));

  // IPAM has got the same request.
  CHECK(net.take_ipam_verbs() == Texts{"GC", "CHECK"});
  const auto calls = net.ipam.calls();
  Json expected = net.config;
  expected["cni.dev/valid-attachments"] = Json::array({attachment_of(valid)});
  CHECK(Json::parse(calls.at(calls.size() - 2).input) == expected);

  const Snapshot once = net.snapshot();
  CHECK(net.gc(Json::array({attachment_of(valid)})).status == 0);
  CHECK(difference(once, net.snapshot()) == "");
  net.del(stale);
  // What the stale ones had is free again.
  net.add("c10");
}

TEMPLATE_TEST_CASE("GC tells the interfaces of one container apart", "[bridge][veth][gc]",
                   BridgeNetwork, VethNetwork) {
  TestType net;
  const Attached stale = net.add("c1");
  net.give({{"ips", {{{"address", "10.1.2.6/24"}}}}});
  Attached valid{.container = stale.container, .id = "c1", .ifname = "net1"};
  net.add(valid);
  CHECK(net.gc(Json::array({attachment_of(valid)})).status == 0);
  CHECK(is_there(net, valid));
  CHECK_FALSE(is_there(net, stale));
}

TEMPLATE_TEST_CASE("GC without a list has no valid attachments", "[bridge][veth][gc]",
                   BridgeNetwork, VethNetwork) {
  TestType net;
  const Attached one = net.add("c1");
  SECTION("no key") {
    CHECK(run_plugin_binary(net.call_for_network("GC")).status == 0);
  }
  SECTION("an empty list") {
    CHECK(net.gc(Json::array()).status == 0);
  }
  CHECK_FALSE(is_there(net, one));
}

TEMPLATE_TEST_CASE("GC knows the older name of the list", "[bridge][veth][gc][ipv6]", BridgeNetwork,
                   VethNetwork) {
  TestType net;
  net.give_by_number();
  const Attached one = net.add("c1");
  const Attached two = net.add("c2");
  Json lists = {{"cni.dev/attachments", Json::array({attachment_of(one)})}};
  SECTION("alone") {}
  SECTION("after the newer one") {
    lists = {{"cni.dev/attachments", Json::array({attachment_of(two)})},
             {"cni.dev/valid-attachments", Json::array({attachment_of(one)})}};
  }
  CHECK(run_plugin_binary(net.call_for_network("GC", lists)).status == 0);
  CHECK(is_there(net, one));
  CHECK_FALSE(is_there(net, two));
}

TEMPLATE_TEST_CASE("GC needs no more than the name of the network", "[bridge][veth][gc]",
                   BridgeNetwork, VethNetwork) {
  TestType net;
  const Attached one = net.add("c1");
  net.config = {
      {"cniVersion", "1.1.0"}, {"name", "net1"}, {"type", net.plugin}, {"mtu", "rubbish"}};
  CHECK(net.gc(Json::array()).status == 0);
  CHECK_FALSE(is_there(net, one));
}

TEMPLATE_TEST_CASE("GC goes on after an error and tells it", "[bridge][veth][gc]", BridgeNetwork,
                   VethNetwork) {
  TestType net;
  const Attached one = net.add("c1");
  SECTION("of IPAM") {
    net.ipam.reply("GC", {.out = R"({"code": 100, "msg": "disk is gone"})", .status = 1});
    const PluginOutcome outcome = net.gc(Json::array());
    CHECK(outcome.code() == 100);
    CHECK(outcome.message() == "disk is gone");
    CHECK_FALSE(is_there(net, one));
  }
  SECTION("of the list") {
    const PluginOutcome outcome = net.gc("rubbish");
    CHECK(outcome.status == 1);
    CHECK(is_there(net, one));
  }
}
