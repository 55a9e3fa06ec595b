// The key forwardAccept, on hosts that drop what they forward.
#include <catch2/catch.hpp>

#include "plugin/traffic_network.h"

using Catch::Contains;
using namespace cni::test;  // NOLINT(google-build-using-namespace)

namespace {

// A chain of somebody's own, for nft(8).
constexpr const char* kGuard =
    "table inet guard {\n"
    "  chain pass { type filter hook forward priority 0; policy drop; }\n"
    "}\n";

// Pods on two bridges or on veths of their own, on a host whose chain FORWARD drops by policy.
struct DroppingHost {
  DroppingHost(Store store, const std::string& plugin) : net(store, {Protocol::kUdp}) {
    if (plugin == "bridge") {
      first = net.bridge("a");
      second = net.bridge("b");
    } else {
      first = {{"type", "veth"}, {"ipam", net.bridge("a").at("ipam")}};
      second = {{"type", "veth"}, {"ipam", net.bridge("b").at("ipam")}};
      for (Json* each : {&first, &second}) {
        (*each)["ipam"]["routes"] = {{{"dst", "0.0.0.0/0"}}, {{"dst", "::/0"}}};
      }
    }
    // What stays after the last pod is there from now on: bridges, files of host-local.
    Pod one = net.add("net-1", "settle1", {first});
    Pod two = net.add("net-2", "settle2", {second});
    net.del(one);
    net.del(two);
    if (store == Store::kNative) return;
    for (const Family& family : {kIpv4, kIpv6}) net.iptables(store, family, "-P FORWARD DROP");
  }

  TrafficHost net;
  Json first;
  Json second;

  void accept(bool on) {
    for (Json* each : {&first, &second}) (*each)["forwardAccept"] = on;
  }
  Pod& add_client() { return net.add("net-1", "client", {first}); }
  Pod& add_server() {
    Pod& pod = net.add("net-2", "server", {second});
    net.servers.serve_everywhere(*pod.container, pod.id, Protocol::kUdp, 80);
    return pod;
  }

  // Who answers a pod at an address.
  static std::string seen(const Pod& pod, const std::string& to, std::uint16_t port) {
    return ask(*pod.container, {.to = to,
                                .port = port,
                                .protocol = Protocol::kUdp,
                                .limit = std::chrono::milliseconds(600)})
        .who;
  }

  PluginOutcome run(const std::string& plugin, const std::string& verb, const Json& config,
                    const Pod* pod) const {
    Json with_name = config;
    with_name["cniVersion"] = verb == "GC" || verb == "STATUS" ? "1.1.0" : "1.0.0";
    with_name["name"] = "net-1";
    PluginCall call{.plugin = plugin,
                    .verb = verb,
                    .config = with_name.dump(),
                    .environment = {{"PATH", net.path()}},
                    .host = net.host.path()};
    if (pod != nullptr) {
      call.container_id = pod->id;
      if (verb == "ADD") call.netns = pod->container->path();
    } else {
      for (const char* name : {"CNI_CONTAINERID", "CNI_NETNS", "CNI_IFNAME"}) {
        call.environment[name] = std::nullopt;
      }
    }
    return run_plugin_binary(call);
  }

  std::string filter(const Family& family) const {
    return net.iptables(net.store, family, "-t filter -S");
  }
};

void check_passage(Store store, const std::string& plugin) {
  INFO(name_of(store) << ' ' << plugin);
  DroppingHost host(store, plugin);
  SECTION("without the key") {
    const Pod& client = host.add_client();
    const Pod& server = host.add_server();
    CHECK(DroppingHost::seen(client, kIpv4.far, 7) == "silence");
    CHECK(DroppingHost::seen(client, server.address(kIpv6), 80) == "silence");
    CHECK_THAT(host.filter(kIpv4), !Contains("CNI-"));
  }
  SECTION("with the key") {
    const Snapshot before = host.net.snapshot();
    host.accept(true);
    Pod& client = host.add_client();
    Pod& server = host.add_server();
    for (const Family& family : {kIpv4, kIpv6}) {
      INFO(family.name);
      CHECK(DroppingHost::seen(client, family.far, 7) == "far");
      CHECK(DroppingHost::seen(client, server.address(family), 80) == "server");
    }
    CHECK(host.net.run("CHECK", client).back().status == 0);
    host.net.iptables(store, kIpv6, "-D CNI-FORWARD -s " + client.address(kIpv6) + " -j ACCEPT");
    const PluginOutcome missing = host.net.run("CHECK", client).back();
    CHECK(missing.code() == 999);
    CHECK_THAT(missing.message(), Contains("-A CNI-FORWARD -s " + client.address(kIpv6)));

    // One goes, the other is served as before.
    host.net.del(client);
    CHECK(DroppingHost::seen(server, kIpv4.far, 7) == "far");
    for (int round = 0; round < 2; ++round) host.net.del(server);
    CHECK(difference(before, host.net.snapshot()) == "");
  }
}

void check_removal(Store store) {
  INFO(name_of(store));
  DroppingHost host(store, "veth");
  Snapshot before = host.net.snapshot();
  host.accept(true);
  SECTION("DEL without namespace and previous result") {
    const Pod& client = host.add_client();
    host.first.erase("forwardAccept");
    const PluginOutcome outcome = host.run("veth", "DEL", host.first, &client);
    INFO(outcome.text());
    CHECK(outcome.status == 0);
    CHECK(outcome.err.empty());
  }
  SECTION("GC") {
    host.add_client();
    Json config = host.first;
    config["cni.dev/valid-attachments"] = Json::array();
    const PluginOutcome outcome = host.run("veth", "GC", config, nullptr);
    INFO(outcome.text());
    CHECK(outcome.status == 0);
  }
  SECTION("a failed ADD") {
    host.first["ipam"]["routes"] = {{{"dst", "10.9.0.0/16"}, {"gw", "10.200.0.1"}}};
    Pod pod = host.net.attachment("net-1", "client", {host.first});
    const PluginOutcome outcome = host.net.run("ADD", pod).back();
    INFO(outcome.text());
    CHECK_THAT(outcome.message(), Contains("failed to add route"));
  }
  SECTION("chains that somebody else uses stay") {
    host.net.iptables(store, kIpv4, "-N CNI-ADMIN");
    before = host.net.snapshot();
    Pod& client = host.add_client();
    host.net.del(client);
    CHECK_THAT(host.filter(kIpv4), Contains("-A CNI-FORWARD") && !Contains("CNI-PLUMB"));
    host.net.iptables(store, kIpv4, "-F FORWARD");
    host.net.iptables(store, kIpv4, "-F CNI-FORWARD");
    host.net.iptables(store, kIpv4, "-X CNI-FORWARD");
  }
  CHECK(difference(before, host.net.snapshot()) == "");
}

// The plugin firewall of the reference suite finds our rules in place, and deletes them.
void check_reference(Store store) {
  INFO(name_of(store));
  DroppingHost host(store, "bridge");
  const Snapshot before = host.net.snapshot();
  host.accept(true);
  Pod& client = host.add_client();
  const std::string ours = host.filter(kIpv4);
  Json firewall = {{"backend", "iptables"}, {"prevResult", client.result}};
  for (const char* verb : {"ADD", "DEL"}) {
    const PluginOutcome outcome = host.run("/usr/lib/cni/firewall", verb, firewall, &client);
    INFO(verb << ' ' << outcome.text());
    REQUIRE(outcome.status == 0);
    if (std::string(verb) == "ADD") CHECK(host.filter(kIpv4) == ours);
  }
  CHECK(DroppingHost::seen(client, kIpv4.far, 7) == "silence");
  CHECK_THAT(host.filter(kIpv4), !Contains("-A CNI-FORWARD -s " + client.address(kIpv4)));
  host.net.del(client);
  CHECK(difference(before, host.net.snapshot()) == "");
}

}  // namespace

TEST_CASE("forwardAccept where iptables-nft drops",
          "[forward-accept][bridge][veth][iptables-nft]") {
  check_passage(Store::kIptablesNft, GENERATE("bridge", "veth"));
}

TEST_CASE("forwardAccept where iptables-legacy drops",
          "[forward-accept][bridge][veth][iptables-legacy]") {
  check_passage(Store::kIptablesLegacy, GENERATE("bridge", "veth"));
}

TEST_CASE("forwardAccept where both flavours of iptables drop",
          "[forward-accept][bridge][iptables-nft][iptables-legacy]") {
  DroppingHost host(Store::kIptablesNft, "bridge");
  for (const Family& family : {kIpv4, kIpv6}) {
    host.net.iptables(Store::kIptablesLegacy, family, "-P FORWARD DROP");
  }
  const Snapshot before = host.net.snapshot();
  host.accept(true);
  Pod& client = host.add_client();
  Pod& server = host.add_server();
  for (const Family& family : {kIpv4, kIpv6}) {
    INFO(family.name);
    CHECK(DroppingHost::seen(client, family.far, 7) == "far");
    CHECK(DroppingHost::seen(client, server.address(family), 80) == "server");
  }
  // Rules in one of them do not help.
  const Store lacking = GENERATE(Store::kIptablesNft, Store::kIptablesLegacy);
  INFO(name_of(lacking));
  host.net.iptables(lacking, kIpv4, "-D CNI-FORWARD -s " + client.address(kIpv4) + " -j ACCEPT");
  CHECK(DroppingHost::seen(client, kIpv4.far, 7) == "silence");
  const PluginOutcome missing = host.net.run("CHECK", client).back();
  CHECK(missing.code() == 999);
  CHECK_THAT(missing.message(), Contains("-A CNI-FORWARD -s " + client.address(kIpv4)));
  host.net.del(client);
  host.net.del(server);
  CHECK(difference(before, host.net.snapshot()) == "");
}

TEST_CASE("forwardAccept where a native chain drops as well",
          "[forward-accept][bridge][nftables][iptables-nft]") {
  DroppingHost host(Store::kIptablesNft, "bridge");
  host.accept(true);
  Pod& client = host.add_client();
  CHECK(DroppingHost::seen(client, kIpv4.far, 7) == "far");
  run_checked({.argv = {"nft", "-f", "-"}, .input = kGuard, .netns = host.net.host.path()});
  CHECK(DroppingHost::seen(client, kIpv4.far, 7) == "silence");
  // Only that one is still in the way.
  const PluginOutcome status = host.run("bridge", "STATUS", host.first, nullptr);
  CHECK(status.status == 0);
  CHECK_THAT(status.err,
             Contains("chain \"pass\" of table \"inet guard\"") && !Contains("FORWARD"));
  CHECK(host.net.run("CHECK", client).back().status == 0);
}

TEST_CASE("forwardAccept leaves nothing in iptables-nft", "[forward-accept][veth][iptables-nft]") {
  check_removal(Store::kIptablesNft);
}

TEST_CASE("forwardAccept leaves nothing in iptables-legacy",
          "[forward-accept][veth][iptables-legacy]") {
  check_removal(Store::kIptablesLegacy);
}

TEST_CASE("the reference suite's firewall knows the rules of forwardAccept, iptables-nft",
          "[forward-accept][bridge][iptables-nft][reference-plugins]") {
  check_reference(Store::kIptablesNft);
}

TEST_CASE("the reference suite's firewall knows the rules of forwardAccept, iptables-legacy",
          "[forward-accept][bridge][iptables-legacy][reference-plugins]") {
  check_reference(Store::kIptablesLegacy);
}

TEST_CASE("a host that drops what it forwards is warned of",
          "[forward-accept][bridge][veth][iptables-nft]") {
  const std::string plugin = GENERATE("bridge", "veth");
  INFO(plugin);
  DroppingHost host(Store::kIptablesNft, plugin);
  const std::string table = "chain \"FORWARD\" of table \"ip filter\"";
  Pod pod = host.net.attachment("net-1", "client", {host.first});
  const PluginOutcome added = host.net.run("ADD", pod).back();
  CHECK(added.status == 0);
  CHECK_THAT(added.err, Contains(table) && Contains("forwardAccept"));
  const PluginOutcome status = host.run(plugin, "STATUS", host.first, nullptr);
  CHECK(status.status == 0);
  CHECK_THAT(status.err, Contains(table) && Contains("ip6 filter") && Contains("forwardAccept"));
  host.accept(true);
  CHECK(host.run(plugin, "STATUS", host.first, nullptr).err.empty());
}

TEST_CASE("a native chain that drops is only reported, by STATUS",
          "[forward-accept][veth][nftables]") {
  DroppingHost host(Store::kNative, "veth");
  run_checked({.argv = {"nft", "-f", "-"}, .input = kGuard, .netns = host.net.host.path()});
  const Snapshot before = host.net.snapshot();
  const bool on = GENERATE(false, true);
  INFO(on);
  host.accept(on);
  const PluginOutcome status = host.run("veth", "STATUS", host.first, nullptr);
  CHECK(status.status == 0);
  CHECK_THAT(status.err, Contains("chain \"pass\" of table \"inet guard\""));
  Pod& client = host.add_client();
  CHECK(DroppingHost::seen(client, kIpv4.far, 7) == "silence");
  host.net.del(client);
  CHECK(difference(before, host.net.snapshot()) == "");
}
