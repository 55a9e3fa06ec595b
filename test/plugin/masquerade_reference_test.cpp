// The reference suite on the same node: what either left, the other checks and removes.
#include <catch2/catch.hpp>

#include "plugin/masquerade_network.h"

using namespace cni::test;  // NOLINT(google-build-using-namespace)

namespace {

// A pod on a bridge with ipMasq, made and removed by either suite.
struct Node {
  explicit Node(Store store) : net(store, {Protocol::kUdp}) {
    net.servers.serve_everywhere(net.lan, "lan", Protocol::kUdp, 7);
    bridge = net.bridge("a");
    bridge["cniVersion"] = "1.0.0";
    bridge["name"] = "net-a";
    bridge["ipMasq"] = true;
  }

  TrafficHost net;
  Json bridge;

  Pod add_container(const std::string& id) {
    return {.container = &net.host.add_container(id), .id = id, .chain = {}};
  }
  PluginOutcome run(const std::string& plugin, const std::string& verb, Pod& pod,
                    const std::string& ifname = "eth0") const {
    Json config = bridge;
    if (!pod.result.is_null()) config["prevResult"] = pod.result;
    PluginOutcome outcome = run_plugin_binary(
        {.plugin = plugin,
         .verb = verb,
         .config = config.dump(),
         .container_id = pod.id,
         .netns = pod.container == nullptr ? std::string() : pod.container->path(),
         .ifname = ifname,
         .environment = {{"PATH", net.path()}},
         .host = net.host.path()});
    INFO(plugin << ' ' << verb << ' ' << outcome.text());
    REQUIRE(outcome.status == 0);
    if (verb == "ADD") pod.result = *outcome.json;
    return outcome;
  }
  std::string seen(const Pod& pod, const Family& family) const {
    return ask(*pod.container, {.to = family.lan, .port = 7, .protocol = Protocol::kUdp}).text();
  }
};

constexpr const char* kTheirs = "/usr/lib/cni/bridge";
constexpr const char* kOurs = "bridge";

void check_takeover(Store store) {
  Node node(store);
  const bool dual = GENERATE(true, false);
  INFO(name_of(store) << (dual ? ", both families" : ", IPv4"));
  if (!dual) node.bridge["ipam"]["ranges"].erase(1);
  Pod settle = node.add_container("settle");
  node.run(kTheirs, "ADD", settle);
  node.run(kTheirs, "DEL", settle);
  const Snapshot before = node.net.snapshot();
  Pod pod = node.add_container("pod");
  SECTION("their ADD, our CHECK and DEL") {
    node.run(kTheirs, "ADD", pod);
    node.run(kOurs, "CHECK", pod);
    CHECK(node.seen(pod, kIpv4) == std::string("lan saw ") + kIpv4.host);
    if (dual) CHECK(node.seen(pod, kIpv6) == std::string("lan saw ") + kIpv6.host);
    node.run(kOurs, "DEL", pod);
  }
  SECTION("their ADD, our DEL without a namespace") {
    node.run(kTheirs, "ADD", pod);
    Pod without = {.container = nullptr, .id = pod.id, .chain = {}};
    node.run(kOurs, "DEL", without);
    CHECK(node.net.iptables(store, kIpv4, "-t nat -S").find("CNI-") == std::string::npos);
    // Their veth has no mark of ours.
    node.run(kOurs, "DEL", pod);
  }
  SECTION("our ADD, their CHECK and DEL") {
    node.run(kOurs, "ADD", pod);
    node.run(kTheirs, "CHECK", pod);
    CHECK(node.seen(pod, kIpv4) == std::string("lan saw ") + kIpv4.host);
    node.run(kTheirs, "DEL", pod);
  }
  SECTION("their ADD, our GC") {
    Pod valid = node.add_container("valid");
    node.run(kTheirs, "ADD", valid);
    node.run(kTheirs, "ADD", pod);
    Json config = node.bridge;
    config["cniVersion"] = "1.1.0";
    config["cni.dev/valid-attachments"] = {attachment_of(valid)};
    const PluginOutcome collected =
        run_plugin_binary({.plugin = kOurs,
                           .verb = "GC",
                           .config = config.dump(),
                           .environment = {{"CNI_CONTAINERID", std::nullopt},
                                           {"CNI_NETNS", std::nullopt},
                                           {"CNI_IFNAME", std::nullopt}},
                           .host = node.net.host.path()});
    INFO(collected.text());
    CHECK(collected.status == 0);
    CHECK(node.seen(valid, kIpv4) == std::string("lan saw ") + kIpv4.host);
    node.run(kOurs, "CHECK", valid);
    node.run(kOurs, "DEL", valid);
    node.run(kOurs, "DEL", pod);
  }
  CHECK(difference(before, node.net.snapshot()) == "");
}

// What the reference suite's nftables backend writes, in the words of nft(8).
std::string reference_table(const std::string& rules) {
  return "table inet cni_plugins_masquerade {\n"
         "  chain masq_checks {\n" +
         rules +
         "  }\n"
         "  chain postrouting {\n"
         "    type nat hook postrouting priority 100;\n"
         "    ip daddr 224.0.0.0/4 return\n"
         "    ip6 daddr ff00::/8 return\n"
         "    goto masq_checks\n"
         "  }\n"
         "}\n";
}

void load(const TrafficHost& net, const std::string& rules) {
  run_checked({.argv = {"nft", "-f", "-"}, .input = rules, .netns = net.host.path()});
}

// H(net-a)-H(eth0:pod) as `sha512sum` has them.
constexpr const char* kPodComment =
    "a77a08d9e52331f4-a3b640692a85f94b, net: net-a, if: eth0, id: pod";

std::string rule_for(const std::string& match, const std::string& comment) {
  return "    " + match + " masquerade comment \"" + comment + "\"\n";
}

}  // namespace

TEST_CASE("masquerading changes hands between the suites, iptables-nft",
          "[masquerade][bridge][veth][iptables-nft][reference-plugins]") {
  check_takeover(Store::kIptablesNft);
}

TEST_CASE("masquerading changes hands between the suites, iptables-legacy",
          "[masquerade][bridge][veth][iptables-legacy][reference-plugins]") {
  check_takeover(Store::kIptablesLegacy);
}

TEST_CASE("live attachments of the reference suite decide the store",
          "[masquerade][bridge][veth][iptables-nft][iptables-legacy][reference-plugins]") {
  const Store store = GENERATE(Store::kIptablesNft, Store::kIptablesLegacy);
  Node node(store);
  node.bridge["ipam"]["ranges"].erase(1);
  node.bridge.erase("ipMasqBackend");
  Pod theirs = node.add_container("theirs");
  node.run(kTheirs, "ADD", theirs);
  Pod ours = node.add_container("ours");
  node.run(kOurs, "ADD", ours);
  const bool native = node.net.host.run("nft list tables").find("plumb") != std::string::npos;
  CHECK_FALSE(native);
  CHECK(node.seen(ours, kIpv4) == std::string("lan saw ") + kIpv4.host);
  node.run(kTheirs, "DEL", theirs);
  node.run(kOurs, "DEL", ours);
  node.run(kOurs, "ADD", ours);
  CHECK(node.net.host.run("nft list tables").find("plumb_masquerade") != std::string::npos);
}

TEST_CASE("rules of the reference suite's nftables backend",
          "[masquerade][bridge][veth][nftables]") {
  MasqueradeNetwork network(Store::kNative);
  Pod& pod = network.add_pod("pod");
  const std::string v4 = pod.address(kIpv4);
  const std::string v6 = pod.address(kIpv6);
  const std::string others =
      rule_for("ip saddr 10.1.0.99 ip daddr != 10.1.0.0/24",
               "a77a08d9e52331f4-0000000000000000, net: net-a, if: eth0, id: gone") +
      rule_for("ip saddr 10.9.0.5 ip daddr != 10.9.0.0/24",
               "5431b3d06f425e29-7c621f8ced06d04b, net: ne, if: eth0, id: cont7");
  const std::string foreign = rule_for("ip saddr 10.77.0.1", "by an operator");
  const std::string ours = rule_for("ip saddr " + v4 + " ip daddr != 10.1.0.0/24", kPodComment) +
                           rule_for("ip6 saddr " + v6 + " ip6 daddr != fd00:1::/64", kPodComment);
  load(network.net, reference_table(others + foreign));
  const Snapshot without = network.snapshot();
  load(network.net,
       "delete table inet cni_plugins_masquerade\n" + reference_table(others + ours + foreign));
  CHECK(network.seen(pod, kIpv4.lan) == std::string("lan saw ") + kIpv4.host);
  network.succeed("CHECK", pod);
  SECTION("DEL takes out those of the attachment") {
    for (int round = 0; round < 2; ++round) {
      network.succeed("DEL", pod);
      CHECK(difference(without, network.snapshot()) == "");
    }
    CHECK(network.run("CHECK", pod).status == 1);
  }
  SECTION("GC takes out those of no valid attachment of the network") {
    const Json valid = {{"cni.dev/valid-attachments", {attachment_of(pod)}}};
    CHECK(network.run_for_network("GC", valid).status == 0);
    network.succeed("CHECK", pod);
    const std::string left =
        network.net.host.run("nft list chain inet cni_plugins_masquerade masq_checks");
    CHECK(left.find("id: gone") == std::string::npos);
    CHECK(left.find("id: cont7") != std::string::npos);
    CHECK(left.find("by an operator") != std::string::npos);
    CHECK(network.run_for_network("GC").status == 0);
    CHECK(network.run("CHECK", pod).status == 1);
  }
  SECTION("a rule that is missing is noticed") {
    load(network.net, "flush chain inet cni_plugins_masquerade masq_checks\n");
    CHECK(network.run("CHECK", pod).status == 1);
  }
}
