// As whom others see a container that is masqueraded, by every plugin that does it and in every
// rule store; and what the plugins execute.
#include <catch2/catch.hpp>
#include <functional>

#include "plugin/traffic_network.h"

using namespace cni::test;  // NOLINT(google-build-using-namespace)

namespace {

// A way to masquerade: the chain of a container in the network of that letter.
using Chain = std::function<std::vector<Json>(const TrafficHost&, const std::string& letter)>;

std::vector<Json> bridge_with_ip_masq(const TrafficHost& net, const std::string& letter) {
  Json bridge = net.bridge(letter);
  bridge["ipMasq"] = true;
  return {bridge};
}

std::vector<Json> bridge_and_masquerade(const TrafficHost& net, const std::string& letter) {
  return {net.bridge(letter), {{"type", "masquerade"}, {"backend", backend_of(net.store)}}};
}

std::vector<Json> veth_with_ip_masq(const TrafficHost& net, const std::string& letter) {
  Json veth = {{"type", "ptp"},
               {"ipMasq", true},
               {"ipMasqBackend", backend_of(net.store)},
               {"ipam", net.bridge(letter).at("ipam")}};
  veth["ipam"]["routes"] = {{{"dst", "0.0.0.0/0"}}, {{"dst", "::/0"}}};
  return {veth};
}

void check_masquerade(Store store, const Chain& chain) {
  TrafficHost net(store);
  const auto add = [&](const std::string& id, const std::string& letter) -> Pod& {
    return net.add_server("net-" + letter, id, chain(net, letter));
  };
  for (const Protocol protocol : net.protocols) {
    net.servers.serve_everywhere(net.lan, "lan", protocol, 80);
    net.servers.serve_everywhere(net.far, "far", protocol, 80);
    net.servers.serve_everywhere(net.host, "host", protocol, 80);
  }
  // What all containers share comes with the first.
  net.del(add("first", "a"));
  net.del(add("first-too", "b"));
  const Snapshot before = net.snapshot();

  Pod& pod = add("pod", "a");
  Pod& same = add("same", "a");
  Pod& other = add("other", "b");
  const auto check_flows = [&](const Pod& client) {
    for (const Family& family : kFamilies) {
      for (const Protocol protocol : net.protocols) {
        INFO(name_of(store) << " " << family.name << " " << name_of(protocol));
        const std::string own = client.address(family);
        const auto at = [&](const Namespace& from, const std::string& to) {
          return ask(from, {.to = to, .port = 80, .protocol = protocol}).text();
        };
        const Namespace& container = *client.container;
        CHECK(at(container, family.lan) == std::string("lan saw ") + family.host);
        CHECK(at(container, family.far) == std::string("far saw ") + family.host_at_far);
        // Not what stays on the host or in the network.
        CHECK(at(container, family.host) == "host saw " + own);
        CHECK(at(container, same.address(family)) == "same saw " + own);
        CHECK(at(*same.container, own) == client.id + " saw " + same.address(family));
        // Not what comes in.
        CHECK(at(net.lan, own) == client.id + " saw " + family.lan);
        // The other network is one like any other.
        const std::string seen = at(container, other.address(family));
        CHECK(seen.starts_with("other saw "));
        CHECK(seen != "other saw " + own);
      }
    }
  };
  check_flows(pod);
  net.del(pod);
  Pod& next = add("next", "a");
  check_flows(next);
  // Others end and this one does not notice.
  for (Pod* each : {&other, &same}) net.del(*each);
  for (const Family& family : kFamilies) {
    CHECK(ask(*next.container, {.to = family.lan, .port = 80}).text() ==
          std::string("lan saw ") + family.host);
  }
  net.del(next);
  CHECK(difference(before, net.snapshot()) == "");
}

void check_all_chains(Store store) {
  SECTION("bridge with ipMasq") {
    check_masquerade(store, bridge_with_ip_masq);
  }
  SECTION("bridge and masquerade") {
    check_masquerade(store, bridge_and_masquerade);
  }
  SECTION("veth with ipMasq") {
    check_masquerade(store, veth_with_ip_masq);
  }
}

// The plugin itself, and the IPAM plugin it delegates to.
void check_executions(Store store) {
  TrafficHost net(store);
  Json bridge = net.bridge("a");
  bridge["ipMasq"] = true;
  Json portmap =
      net.portmap({mapping(8080, 80, Protocol::kTcp), mapping(8080, 80, Protocol::kUdp)});
  const Json masquerade = {{"type", "masquerade"}, {"backend", backend_of(store)}};
  const Json ptp = veth_with_ip_masq(net, "b").front();
  net.trace_executions();

  using Programs = std::vector<std::string>;
  const Programs of_bridge = {"bridge", "host-local", "masquerade", "portmap"};
  Pod& pod = net.add("net-a", "pod", {bridge, masquerade, portmap});
  CHECK(net.executed() == of_bridge);
  net.run("CHECK", pod);
  CHECK(net.executed() == of_bridge);
  net.del(pod);
  CHECK(net.executed() == of_bridge);

  const Programs of_veth = {"host-local", "portmap", "ptp"};
  Pod& other = net.add("net-b", "other", {ptp, portmap});
  CHECK(net.executed() == of_veth);
  net.del(other);
  CHECK(net.executed() == of_veth);
}

}  // namespace

TEST_CASE("containers are seen as their host, by the native store", "[traffic][nftables]") {
  check_all_chains(Store::kNative);
}

TEST_CASE("containers are seen as their host, by iptables-nft", "[traffic][iptables-nft]") {
  check_all_chains(Store::kIptablesNft);
}

TEST_CASE("containers are seen as their host, by iptables-legacy", "[traffic][iptables-legacy]") {
  check_all_chains(Store::kIptablesLegacy);
}

TEST_CASE("plugins execute nothing but IPAM with the native store", "[traffic][nftables]") {
  check_executions(Store::kNative);
}

TEST_CASE("plugins execute nothing but IPAM with iptables-nft", "[traffic][iptables-nft]") {
  check_executions(Store::kIptablesNft);
}

TEST_CASE("plugins execute nothing but IPAM with iptables-legacy", "[traffic][iptables-legacy]") {
  check_executions(Store::kIptablesLegacy);
}
