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

// Calls `check` for every store that this host has.
void in_every_store(const std::function<void(Store)>& check) {
  SECTION("native") {
    check(Store::kNative);
  }
  SECTION("iptables-nft") {
    check(Store::kIptablesNft);
  }
  SECTION("iptables-legacy") {
    check(Store::kIptablesLegacy);
  }
}

// In the stores of xtables the built-in chains stay for good, so they come before the snapshot.
void settle(const MasqueradeNetwork& network, const Pod& pod) {
  network.succeed("ADD", pod);
  network.succeed("DEL", pod);
}

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
  in_every_store([](Store store) {
    MasqueradeNetwork network(store);
    Pod& pod = network.add_pod("pod");
    settle(network, pod);
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
         with_config({{"backend", store == Store::kNative ? "iptables" : "nftables"}})},
        {"without a PATH", [](PluginCall& call) { call.environment["PATH"] = ""; }},
    };
    for (const auto& [name, change] : changes) {
      INFO(name_of(store) << ": " << name);
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
  in_every_store([](Store store) {
    INFO(name_of(store));
    MasqueradeNetwork network(store);
    Pod& pod = network.add_pod("pod");
    settle(network, pod);
    const Snapshot before = network.snapshot();
    Pod old = pod;
    old.id = "old";
    network.succeed("ADD", old);
    network.succeed("ADD", pod);
    CHECK(traces(network, "old") <= (store == Store::kNative ? 2 : 0));
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
  in_every_store([](Store store) {
    INFO(name_of(store));
    MasqueradeNetwork network(store);
    Pod& pod = network.add_pod("pod");
    settle(network, pod);
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
  in_every_store([](Store store) {
    INFO(name_of(store));
    MasqueradeNetwork network(store);
    Pod& pod = network.add_pod("pod");
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
    if (store == Store::kNative) {
      const Namespace& host = network.net.host;
      host.run("nft flush ruleset");
      check_fails("is not masqueraded");
      host.run("nft flush map ip plumb_masquerade sources");
      check_fails("is missing in map \"sources\"");
      host.run("nft flush chain ip6 plumb_masquerade postrouting");
      check_fails("chain \"postrouting\" of the nf_tables table ip6 plumb_masquerade");
      return;
    }
    const Store flavour = store;
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
  in_every_store([](Store store) {
    INFO(name_of(store));
    MasqueradeNetwork network(store);
    Pod& pod = network.add_pod("pod");
    settle(network, pod);
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
  in_every_store([](Store store) {
    INFO(name_of(store));
    MasqueradeNetwork network(store);
    Pod& valid = network.add_pod("valid");
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
  in_every_store([](Store store) {
    INFO(name_of(store));
    MasqueradeNetwork network(store);
    Pod& pod = network.add_pod("pod");
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
