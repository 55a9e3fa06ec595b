// What masquerade and a bridge that masquerades refuse, and that nothing is left of it.
#include <catch2/catch.hpp>

#include "plugin/masquerade_network.h"

using Catch::Contains;
using namespace cni::test;  // NOLINT(google-build-using-namespace)

TEST_CASE("a source address that the host does not have is refused",
          "[masquerade][bridge][veth][nftables]") {
  MasqueradeNetwork network(Store::kNative);
  Pod& pod = network.add_pod("pod");
  const Snapshot before = network.snapshot();
  const auto check_refused = [&](const Json& snat, const std::string& words) {
    network.config["snat"] = snat;
    const PluginOutcome outcome = network.run("ADD", pod);
    INFO(outcome.text());
    CHECK(outcome.code() == 7);
    CHECK_THAT(outcome.message(), Contains(words));
    const PluginOutcome status = network.run_for_network("STATUS");
    CHECK(status.code() == 50);
    CHECK_THAT(status.message(), Contains(words));
    CHECK(difference(before, network.snapshot()) == "");
  };
  check_refused({{"ipv4", "192.0.2.99"}}, "does not have the address 192.0.2.99");
  check_refused({{"ipv4", "192.0.2.99"}}, R"(key "snat.ipv4" is "192.0.2.99")");
  check_refused({{"ipv4", "192.0.2.10-192.0.2.11"}}, "does not have the address 192.0.2.10");
  check_refused({{"ipv4", "192.0.2.11-192.0.2.13"}}, "does not have the address 192.0.2.12");
  check_refused({{"ipv6", "2001:db8:1::1-2001:db8:1::11"}},
                "does not have the address 2001:db8:1::2");

  network.config["snat"] = {{"ipv4", kIpv4.other_host}};
  network.succeed("ADD", pod);
  network.net.host.run("ip address delete 192.0.2.11/24 dev up0");
  const PluginOutcome check = network.run("CHECK", pod);
  CHECK_THAT(check.message(), Contains("does not have the address 192.0.2.11"));
}

TEST_CASE("a failed ADD of masquerade leaves nothing",
          "[masquerade][bridge][veth][nftables][iptables-nft][iptables-legacy]") {
  with_pod_in_every_store([](MasqueradeNetwork& network, Pod& pod) {
    Pod& other = network.add_pod("other");
    const bool with_other = GENERATE(false, true);
    if (with_other) network.succeed("ADD", other);
    const Snapshot before = network.snapshot();
    PluginCall call = network.call("ADD", pod);
    call.stdout_path = "/dev/full";
    const PluginOutcome outcome = run_plugin_binary(call);
    INFO(outcome.text());
    CHECK(outcome.status == 1);
    CHECK(difference(before, network.snapshot()) == "");
  });
}

TEST_CASE("what masquerade refuses before it does anything",
          "[masquerade][bridge][veth][nftables][iptables-nft]") {
  MasqueradeNetwork network(Store::kNative);
  Pod& pod = network.add_pod("pod");
  const Snapshot before = network.snapshot();
  int code = 7;
  std::string words;
  PluginCall call = network.call("ADD", pod);
  Json config = Json::parse(call.config);
  SECTION("no result") {
    config.erase("prevResult");
    words = "Required prevResult missing";
  }
  SECTION("a network that is none") {
    config["nonMasqueradeCIDRs"] = {"10.0.0.0/33"};
    words = R"(key "nonMasqueradeCIDRs[0]" is "10.0.0.0/33")";
  }
  SECTION("a backend that is none") {
    config["backend"] = "ebtables";
    words = R"(key "backend" is "ebtables")";
  }
  SECTION("dropInvalid among the rules of iptables") {
    config["backend"] = "iptables";
    config["dropInvalid"] = true;
    words = "needs the backend nftables";
  }
  SECTION("a namespace that is none") {
    call.netns = "/run/netns/gone";
    code = 8;
    words = "/run/netns/gone";
  }
  call.config = config.dump();
  const PluginOutcome outcome = run_plugin_binary(call);
  INFO(outcome.text());
  CHECK(outcome.code() == code);
  CHECK_THAT(outcome.message(), Contains(words));
  CHECK(difference(before, network.snapshot()) == "");
}

TEST_CASE("a bridge that cannot masquerade leaves nothing of its ADD",
          "[masquerade][bridge][veth][nftables]") {
  TrafficHost net(Store::kNative, {Protocol::kUdp});
  Json bridge = net.bridge("a");
  bridge["ipMasq"] = {{"snat", {{"ipv4", "192.0.2.99"}}}};
  bridge["cniVersion"] = "1.1.0";
  bridge["name"] = "net-a";
  net.del(net.add("net-a", "settle", {net.bridge("a")}));
  const Snapshot before = net.snapshot();
  Namespace& container = net.host.add_container();
  PluginCall call{.plugin = "bridge",
                  .verb = "ADD",
                  .config = bridge.dump(),
                  .container_id = "pod",
                  .netns = container.path(),
                  .host = net.host.path()};
  PluginOutcome outcome = run_plugin_binary(call);
  INFO(outcome.text());
  CHECK(outcome.code() == 7);
  CHECK_THAT(outcome.message(), Contains(R"(key "ipMasq.snat.ipv4" is "192.0.2.99")"));
  CHECK_FALSE(container.has_link("eth0"));
  bridge["ipMasq"] = true;
  call.config = bridge.dump();
  call.stdout_path = "/dev/full";
  CHECK(run_plugin_binary(call).status == 1);
  CHECK_FALSE(container.has_link("eth0"));
  CHECK(difference(before, net.snapshot()) == "");
}
