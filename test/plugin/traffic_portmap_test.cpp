// Who gets an answer at a host port, and as whom the pod sees it, in every rule store.
#include <catch2/catch.hpp>

#include "plugin/traffic_network.h"

using namespace cni::test;  // NOLINT(google-build-using-namespace)

namespace {

// Leads to port 80 of the pod at one address of the host, as kPort does at every one.
constexpr std::uint16_t kPortOfOneAddress = 8081;

Json mappings_and_one_of_an_address(const TrafficHost& net) {
  Json mappings = Json::array();
  for (const Protocol protocol : net.protocols) {
    mappings.push_back(mapping(kPort, 80, protocol));
    for (const Family& family : {kIpv4, kIpv6}) {
      mappings.push_back(mapping(kPortOfOneAddress, 80, protocol, family.host));
    }
  }
  return mappings;
}

// From the pod's own network. Answers have to come back through the host.
void check_near_flows(TrafficHost& net, const Pod& pod, const Pod& same, const Family& family,
                      Protocol protocol) {
  INFO(name_of(net.store) << " " << family.name << " " << name_of(protocol));
  const auto at = [&](const Namespace& from, const std::string& to) {
    return ask(from, {.to = to, .port = kPort, .protocol = protocol});
  };
  CHECK(at(*pod.container, family.host).text() == pod.id + " saw " + family.gateway_a);
  CHECK(at(*same.container, family.host).who == pod.id);
  CHECK(at(*same.container, family.gateway_a).who == pod.id);
}

void check_flows(TrafficHost& net, const Pod& pod, const Pod& same, const Pod& other,
                 const Family& family, Protocol protocol) {
  INFO(name_of(net.store) << " " << family.name << " " << name_of(protocol));
  const auto at = [&](const Namespace& from, const std::string& to, std::uint16_t port) {
    return ask(from, {.to = to, .port = port, .protocol = protocol});
  };
  const std::string& id = pod.id;
  // From outside and from another network the client keeps its address.
  CHECK(at(net.lan, family.host, kPort).text() == id + " saw " + family.lan);
  CHECK(at(net.lan, family.other_host, kPort).text() == id + " saw " + family.lan);
  CHECK(at(net.far, family.host, kPort).text() == id + " saw " + family.far);
  CHECK(at(*other.container, family.host, kPort).text() == id + " saw " + other.address(family));
  CHECK(at(*other.container, family.gateway_b, kPort).text() ==
        id + " saw " + other.address(family));
  check_near_flows(net, pod, same, family, protocol);
  // The host itself.
  CHECK(at(net.host, family.host, kPort).text() == id + " saw " + family.host);
  CHECK(at(net.host, family.gateway_a, kPort).text() == id + " saw " + family.gateway_a);
  // One address of the host only. The other has a server of its own there.
  CHECK(at(net.lan, family.host, kPortOfOneAddress).text() == id + " saw " + family.lan);
  CHECK(at(net.lan, family.other_host, kPortOfOneAddress).text() ==
        std::string("host saw ") + family.lan);
  CHECK(at(net.host, family.other_host, kPortOfOneAddress).who == "host");
  CHECK(at(*same.container, family.other_host, kPortOfOneAddress).who == "host");
  // What only passes through the host.
  CHECK(at(net.lan, family.far, kPort).text() == std::string("far saw ") + family.lan);
  CHECK(at(*pod.container, family.far, kPort).text() == "far saw " + pod.address(family));
  CHECK(at(*other.container, family.far, kPort).text() == "far saw " + other.address(family));
  CHECK(at(net.host, family.far, kPort).who == "far");
}

void check_localhost(TrafficHost& net, const Pod& pod, Protocol protocol) {
  INFO(name_of(net.store) << " " << name_of(protocol));
  CHECK(ask(net.host, {.to = "127.0.0.1", .port = kPort, .protocol = protocol}).text() ==
        pod.id + " saw " + kIpv4.gateway_a);
  CHECK(ask(net.host, {.to = "127.0.0.1", .port = kPort, .protocol = protocol, .from = kIpv4.host})
            .who == pod.id);
}

void check_matrix(Store store, const std::vector<Protocol>& protocols) {
  TrafficHost net(store, protocols);
  for (const Protocol protocol : net.protocols) {
    net.servers.serve_everywhere(net.far, "far", protocol, kPort);
    for (const Family& family : {kIpv4, kIpv6}) {
      net.servers.serve(net.host, "host", protocol, family.other_host, kPortOfOneAddress);
    }
  }
  Pod& same = net.add_server_on("a", "same");
  Pod& other = net.add_server_on("b", "other");
  Pod& pod = net.add_server_on("a", "pod", {net.portmap(mappings_and_one_of_an_address(net))});
  for (const Protocol protocol : net.protocols) {
    for (const Family& family : {kIpv4, kIpv6}) {
      check_flows(net, pod, same, other, family, protocol);
    }
    check_localhost(net, pod, protocol);
  }
  // What stays on one bridge goes another way through the kernel then.
  net.set_bridge_netfilter(false);
  for (const Protocol protocol : net.protocols) {
    for (const Family& family : {kIpv4, kIpv6}) {
      check_near_flows(net, pod, same, family, protocol);
    }
  }

  // A client that keeps its port reaches whoever has the host port now.
  const auto keeps_port = [&](const Family& family, Protocol protocol) {
    return ask(net.lan, {.to = family.host,
                         .port = kPort,
                         .protocol = protocol,
                         .from_port = 40000,
                         .limit = std::chrono::milliseconds(500)})
        .who;
  };
  const auto everyone_hears = [&](const std::string& who) {
    for (const Protocol protocol : net.protocols) {
      for (const Family& family : {kIpv4, kIpv6}) {
        INFO(name_of(net.store) << " " << family.name << " " << name_of(protocol));
        CHECK(keeps_port(family, protocol) == who);
      }
    }
  };
  everyone_hears("pod");
  net.del(pod);
  everyone_hears("refused");
  const Snapshot without = net.snapshot();
  Pod& next = net.add_server_on("a", "next", {net.portmap(mappings_and_one_of_an_address(net))});
  everyone_hears("next");
  net.del(next);
  everyone_hears("refused");
  CHECK(difference(without, net.snapshot()) == "");
  net.del(same);
  net.del(other);
}

const std::vector<Protocol> kUsual = {Protocol::kTcp, Protocol::kUdp};
const std::vector<Protocol> kSctp = {Protocol::kSctp};

}  // namespace

TEST_CASE("host ports of the native store lead to their pod", "[traffic][nftables]") {
  check_matrix(Store::kNative, kUsual);
}

TEST_CASE("host ports of iptables-nft lead to their pod", "[traffic][iptables-nft]") {
  check_matrix(Store::kIptablesNft, kUsual);
}

TEST_CASE("host ports of iptables-legacy lead to their pod", "[traffic][iptables-legacy]") {
  check_matrix(Store::kIptablesLegacy, kUsual);
}

TEST_CASE("sctp ports of the native store lead to their pod", "[traffic][sctp][nftables]") {
  check_matrix(Store::kNative, kSctp);
}

TEST_CASE("sctp ports of iptables-nft lead to their pod", "[traffic][sctp][iptables-nft]") {
  check_matrix(Store::kIptablesNft, kSctp);
}

TEST_CASE("sctp ports of iptables-legacy lead to their pod", "[traffic][sctp][iptables-legacy]") {
  check_matrix(Store::kIptablesLegacy, kSctp);
}
