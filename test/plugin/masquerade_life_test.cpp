// The life of masqueraded attachments: what each verb does, what stays and what goes, and what
// happens when something is in the way.
#include <algorithm>
#include <catch2/catch.hpp>
#include <functional>
#include <sstream>

#include "plugin/masquerade_network.h"

using Catch::Contains;
using namespace cni::test;  // NOLINT(google-build-using-namespace)

namespace {

std::string seen_as(const Family& family, const Pod& pod) {
  return "lan saw " + pod.address(family);
}

constexpr const char* kSeenAsHost4 = "lan saw 192.0.2.1";
constexpr const char* kSeenAsHost6 = "lan saw 2001:db8:1::1";

// The lines of the rule sets, whatever their order: a chain that is made anew comes last.
std::vector<std::string> rules_of(const Snapshot& snapshot) {
  std::vector<std::string> all;
  for (const auto& [section, lines] : snapshot.sections()) {
    if (section != "nftables" && section != "iptables") continue;
    for (const std::string& line : lines) {
      std::istringstream stream(line);
      for (std::string each; std::getline(stream, each);) all.push_back(each);
    }
  }
  std::ranges::sort(all);
  return all;
}

// How many lines of the rule sets tell of the pod or its addresses.
std::ptrdiff_t traces(const MasqueradeNetwork& network, const std::string& text) {
  return std::ranges::count_if(rules_of(network.snapshot()), [&](const std::string& line) {
    return line.find(text) != std::string::npos;
  });
}

}  // namespace

TEST_CASE("DEL of masquerade needs nothing but who it was",
          "[masquerade][bridge][veth][nftables][iptables-nft][iptables-legacy][ipv6]") {
  with_pod_in_every_store([](MasqueradeNetwork& network, Pod& pod) {
    const Snapshot before = network.snapshot();
    using Change = std::function<void(PluginCall&)>;
    const auto with_config = [&](const Json& keys) -> Change {
      return [&network, keys](PluginCall& call) {
        call.config =
            Json({{"cniVersion", network.config["cniVersion"]}, {"name", "net-a"}}).dump();
        Json config = Json::parse(call.config);
        config["type"] = "masquerade";
        config.update(keys);
        call.config = config.dump();
      };
    };
    const std::vector<std::pair<const char*, Change>> changes = {
        {"as it was", [](PluginCall&) {}},
        {"without a namespace", [](PluginCall& call) { call.netns = ""; }},
        {"with a namespace that is gone", [](PluginCall& call) { call.netns = "/run/netns/gone"; }},
        {"without a result", with_config(Json::object())},
        {"with a result that cannot be read", with_config({{"prevResult", {{"ips", "x"}}}})},
        {"with keys that cannot be read",
         with_config({{"masquerade", 5}, {"snat", "x"}, {"backend", "y"}})},
        {"with another backend",
         with_config({{"backend", network.net.store == Store::kNative ? "iptables" : "nftables"}})},
        {"without a PATH", [](PluginCall& call) { call.environment["PATH"] = ""; }},
    };
    for (const auto& [name, change] : changes) {
      INFO(name);
      network.succeed("ADD", pod);
      CHECK(network.seen(pod, kIpv4.lan) == kSeenAsHost4);
      PluginCall call = network.call("DEL", pod);
      change(call);
      for (int round = 0; round < 2; ++round) {
        const PluginOutcome outcome = run_plugin_binary(call);
        INFO(outcome.text());
        CHECK(outcome.status == 0);
        CHECK(outcome.out.empty());
        CHECK(difference(before, network.snapshot()) == "");
      }
    }
  });
}

TEST_CASE("nothing is made for a container that masquerade never saw",
          "[masquerade][bridge][veth][nftables]") {
  MasqueradeNetwork network(Store::kNative);
  Pod& pod = network.add_pod("pod");
  const Snapshot before = Snapshot::take(network.net.host.path(), {"/run/cni"});
  network.succeed("DEL", pod);
  CHECK(network.run("CHECK", pod).status == 1);
  CHECK(network.run_for_network("STATUS").status == 0);
  CHECK(network.run_for_network("GC").status == 0);
  CHECK(difference(before, Snapshot::take(network.net.host.path(), {"/run/cni"})) == "");
}

TEST_CASE("an address that moved stays masqueraded when its old owner goes",
          "[masquerade][bridge][veth][nftables][iptables-nft][iptables-legacy][ipv6]") {
  with_pod_in_every_store([](MasqueradeNetwork& network, Pod& pod) {
    const Snapshot before = network.snapshot();
    Pod old = pod;
    old.id = "old";
    network.succeed("ADD", old);
    network.succeed("ADD", pod);
    CHECK(traces(network, "old") <= (network.net.store == Store::kNative ? 2 : 0));
    for (int round = 0; round < 2; ++round) {
      network.succeed("DEL", old);
      CHECK(network.seen(pod, kIpv4.lan) == kSeenAsHost4);
      CHECK(network.seen(pod, kIpv6.lan) == kSeenAsHost6);
      network.succeed("CHECK", pod);
      CHECK(network.run("CHECK", old).status == 1);
    }
    network.succeed("DEL", pod);
    CHECK(difference(before, network.snapshot()) == "");
  });
}

TEST_CASE("other settings take the place of earlier ones",
          "[masquerade][bridge][veth][nftables][iptables-nft][iptables-legacy]") {
  with_pod_in_every_store([](MasqueradeNetwork& network, Pod& pod) {
    const Snapshot before = network.snapshot();
    network.succeed("ADD", pod);
    const auto plain = rules_of(network.snapshot());
    network.config["nonMasqueradeCIDRs"] = {"192.0.2.0/24"};
    CHECK(network.run("CHECK", pod).status == 1);
    network.succeed("ADD", pod);
    network.succeed("CHECK", pod);
    CHECK(network.seen(pod, kIpv4.lan) == seen_as(kIpv4, pod));
    network.config.erase("nonMasqueradeCIDRs");
    network.succeed("ADD", pod);
    CHECK(rules_of(network.snapshot()) == plain);
    network.config["masquerade"] = {{"ipv4", true}, {"ipv6", false}};
    network.succeed("ADD", pod);
    CHECK(network.seen(pod, kIpv4.lan) == kSeenAsHost4);
    network.succeed("DEL", pod);
    CHECK(difference(before, network.snapshot()) == "");
  });
}

TEST_CASE("CHECK of masquerade notices what is gone",
          "[masquerade][bridge][veth][nftables][iptables-nft][iptables-legacy][ipv6]") {
  with_pod_in_every_store([](MasqueradeNetwork& network, Pod& pod) {
    network.succeed("ADD", pod);
    network.succeed("CHECK", pod);
    const auto check_fails = [&](const std::string& words) {
      const PluginOutcome outcome = network.run("CHECK", pod);
      INFO(outcome.text());
      CHECK(outcome.code() == 999);
      CHECK_THAT(outcome.message(), Contains(words));
      network.succeed("ADD", pod);
      network.succeed("CHECK", pod);
    };
    if (network.net.store == Store::kNative) {
      const Namespace& host = network.net.host;
      host.run("nft flush ruleset");
      check_fails("is not masqueraded");
      host.run("nft flush map ip plumb_masquerade sources");
      check_fails("is missing in map \"sources\"");
      host.run("nft flush chain ip6 plumb_masquerade postrouting");
      check_fails("chain \"postrouting\" of the nf_tables table ip6 plumb_masquerade");
      return;
    }
    const Store flavour = network.net.store;
    network.net.iptables(flavour, kIpv4, "-t nat -F POSTROUTING");
    check_fails("-A POSTROUTING -s " + pod.address(kIpv4) + "/32");
    network.net.iptables(flavour, kIpv6, "-t nat -F POSTROUTING");
    check_fails("-A POSTROUTING -s " + pod.address(kIpv6) + "/128");
    network.net.iptables(flavour, kIpv4, "-t nat -F");
    network.net.iptables(flavour, kIpv4, "-t nat -X");
    network.net.iptables(flavour, kIpv6, "-t nat -F");
    network.net.iptables(flavour, kIpv6, "-t nat -X");
    check_fails("is not masqueraded");
  });
}

TEST_CASE("without an address of the container masquerade does nothing",
          "[masquerade][bridge][veth][nftables]") {
  MasqueradeNetwork network(Store::kNative);
  Pod pod = network.add_pod("pod");
  const Snapshot before = network.snapshot();
  const Json interfaces = pod.result.at("interfaces");
  SECTION("none at all") {
    pod.result["ips"] = Json::array();
  }
  SECTION("of the host") {
    for (Json& ip : pod.result["ips"]) ip["interface"] = 0;
  }
  SECTION("of another interface") {
    pod.result["interfaces"][2]["name"] = "eth1";
  }
  SECTION("of a family that is off") {
    network.config["masquerade"] = {{"ipv4", false}, {"ipv6", false}};
  }
  network.succeed("ADD", pod);
  network.succeed("CHECK", pod);
  CHECK(difference(before, network.snapshot()) == "");
  network.succeed("DEL", pod);
}

TEST_CASE("an address that no interface is named for is the container's",
          "[masquerade][bridge][veth][nftables]") {
  MasqueradeNetwork network(Store::kNative);
  Pod pod = network.add_pod("pod");
  for (Json& ip : pod.result["ips"]) ip.erase("interface");
  network.succeed("ADD", pod);
  CHECK(network.seen(pod, kIpv4.lan) == kSeenAsHost4);
}

TEST_CASE("GC of masquerade keeps what is valid",
          "[masquerade][bridge][veth][nftables][iptables-nft][iptables-legacy]") {
  with_pod_in_every_store([](MasqueradeNetwork& network, Pod& valid) {
    Pod& stale = network.add_pod("stale");
    Pod& foreign = network.add_pod("foreign");
    network.succeed("ADD", valid);
    network.config["name"] = "net-b";
    network.succeed("ADD", foreign);
    network.config["name"] = "net-a";
    const Snapshot before = network.snapshot();
    network.succeed("ADD", stale);
    const Json list = {{"cni.dev/valid-attachments", {attachment_of(valid)}}};
    for (int round = 0; round < 2; ++round) {
      const PluginOutcome outcome = network.run_for_network("GC", list);
      INFO(outcome.text());
      CHECK(outcome.status == 0);
      CHECK(difference(before, network.snapshot()) == "");
    }
    CHECK(network.seen(valid, kIpv4.lan) == kSeenAsHost4);
    CHECK(network.seen(stale, kIpv4.lan) == seen_as(kIpv4, stale));
    CHECK(network.seen(foreign, kIpv4.lan) == kSeenAsHost4);
  });
}

TEST_CASE("GC tells the interfaces of one masqueraded container apart",
          "[masquerade][bridge][veth][nftables][iptables-nft][iptables-legacy]") {
  with_pod_in_every_store([](MasqueradeNetwork& network, Pod& pod) {
    network.succeed("ADD", pod);
    Pod& second = network.add_pod("second");
    const Snapshot before = network.snapshot();
    PluginCall add = network.call("ADD", second);
    add.container_id = "pod";
    add.ifname = "net1";
    Json config = Json::parse(add.config);
    config["prevResult"]["interfaces"][2]["name"] = "net1";
    add.config = config.dump();
    const PluginOutcome added = run_plugin_binary(add);
    INFO(added.text());
    REQUIRE(added.status == 0);
    CHECK(network.seen(second, kIpv4.lan) == kSeenAsHost4);
    CHECK(network.run_for_network("GC", {{"cni.dev/valid-attachments", {attachment_of(pod)}}})
              .status == 0);
    CHECK(difference(before, network.snapshot()) == "");
  });
}

TEST_CASE("bridge masquerades through its whole life",
          "[masquerade][bridge][veth][nftables][iptables-nft][iptables-legacy][ipv6]") {
  in_every_store([](Store store) {
    INFO(name_of(store));
    TrafficHost net(store, {Protocol::kUdp});
    net.servers.serve_everywhere(net.lan, "lan", Protocol::kUdp, 7);
    net.servers.serve_everywhere(net.far, "far", Protocol::kUdp, 7);
    Json bridge = net.bridge("a");
    bridge["ipMasq"] = true;
    const auto seen = [&](const Pod& pod, const char* to) {
      return ask(*pod.container, {.to = to, .port = 7, .protocol = Protocol::kUdp}).text();
    };
    net.del(net.add("net-a", "settle", {bridge}));
    const Snapshot before = net.snapshot();
    SECTION("with the plain key") {}
    SECTION("with an object") {
      bridge["ipMasq"] = {{"outInterfaces", {"up0"}}, {"snat", {{"v4", kIpv4.other_host}}}};
    }
    const bool plain = bridge["ipMasq"].is_boolean();
    Pod& pod = net.add("net-a", "pod", {bridge});
    CHECK(seen(pod, kIpv4.lan) ==
          std::string("lan saw ") + (plain ? kIpv4.host : kIpv4.other_host));
    CHECK(seen(pod, kIpv6.lan) == std::string("lan saw ") + kIpv6.host);
    CHECK(seen(pod, kIpv4.far) ==
          "far saw " + (plain ? std::string(kIpv4.host_at_far) : pod.address(kIpv4)));
    for (const PluginOutcome& outcome : net.run("CHECK", pod)) {
      INFO(outcome.text());
      CHECK(outcome.status == 0);
    }
    if (store == Store::kNative) {
      net.host.run("nft flush ruleset");
    } else {
      net.iptables(store, kIpv4, "-t nat -F");
    }
    CHECK(net.run("CHECK", pod).back().code() == 999);
    pod.container->remove();
    net.del(pod);
    CHECK(difference(before, net.snapshot()) == "");
  });
}
