#include "plugin/masquerade_network.h"

#include <catch2/catch.hpp>

namespace cni::test {
namespace {

constexpr std::uint16_t kEchoPort = 7;

// Every address of the network is one of `where`, which the host reaches through `gateway`.
void extend(const TrafficHost& net, const Namespace& where, const std::string& network,
            const std::string& gateway) {
  where.run("ip route add local " + network + " dev lo");
  net.host.run("ip route add " + network + " via " + gateway);
}

}  // namespace

MasqueradeNetwork::MasqueradeNetwork(Store store) : net(store, {Protocol::kUdp}) {
  config = {{"cniVersion", "1.1.0"},
            {"name", "net-a"},
            {"type", "masquerade"},
            {"backend", backend_of(store)}};
  extend(net, net.lan, "198.18.0.0/15", kIpv4.lan);
  extend(net, net.lan, "2001:db8:1000::/36", kIpv6.lan);
  extend(net, net.far, "203.0.113.0/24", kIpv4.far);
  extend(net, net.far, "2001:db8:2000::/36", kIpv6.far);
  net.servers.stop("far");
  net.servers.serve_everywhere(net.lan, "lan", Protocol::kTcp, kEchoPort);
  net.servers.serve_everywhere(net.far, "far", Protocol::kTcp, kEchoPort);
}

Pod& MasqueradeNetwork::add_pod(const std::string& id) {
  return net.add("net-a", id, {net.bridge("a")});
}

PluginCall MasqueradeNetwork::call(const std::string& verb, const Pod& pod) const {
  Json with_result = config;
  with_result["prevResult"] = pod.result;
  return {.plugin = config.at("type"),
          .verb = verb,
          .config = with_result.dump(),
          .container_id = pod.id,
          .netns = pod.container->path(),
          .environment = {{"PATH", net.path()}},
          .host = net.host.path()};
}

void MasqueradeNetwork::succeed(const std::string& verb, const Pod& pod) const {
  const PluginOutcome outcome = run(verb, pod);
  INFO(verb << ' ' << outcome.text());
  REQUIRE(outcome.status == 0);
  CHECK(outcome.err.empty());
}

PluginOutcome MasqueradeNetwork::run_for_network(const std::string& verb, const Json& more) const {
  Json with_more = config;
  with_more.update(more);
  return run_plugin_binary({.plugin = config.at("type"),
                            .verb = verb,
                            .config = with_more.dump(),
                            .environment = {{"CNI_CONTAINERID", std::nullopt},
                                            {"CNI_NETNS", std::nullopt},
                                            {"CNI_IFNAME", std::nullopt},
                                            {"PATH", net.path()}},
                            .host = net.host.path()});
}

std::string MasqueradeNetwork::seen(const Pod& pod, const std::string& to) const {
  return ask(*pod.container, {.to = to, .port = kEchoPort}).text();
}

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

void with_pod_in_every_store(const std::function<void(MasqueradeNetwork&, Pod&)>& check) {
  in_every_store([&](Store store) {
    INFO(name_of(store));
    MasqueradeNetwork network(store);
    Pod& pod = network.add_pod("pod");
    network.succeed("ADD", pod);
    network.succeed("DEL", pod);
    check(network, pod);
  });
}

Json attachment_of(const Pod& pod) {
  return {{"containerID", pod.id}, {"ifname", "eth0"}};
}

}  // namespace cni::test
