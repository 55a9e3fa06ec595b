// Host ports beside what others do with a host's rules: kube-proxy, flushes, policies, guards.
#include <fmt/format.h>

#include <catch2/catch.hpp>
#include <functional>
#include <sstream>

#include "plugin/traffic_network.h"

using namespace cni::test;  // NOLINT(google-build-using-namespace)
using namespace std::chrono_literals;

namespace {

Json mappings_of(const TrafficHost& net) {
  Json mappings = Json::array();
  for (const Protocol protocol : net.protocols) mappings.push_back(mapping(kPort, 80, protocol));
  return mappings;
}

// `expected` answers, or nobody: no more patience than it takes, if that is "silence".
void check_hears(const std::string& expected, const Namespace& from, const std::string& to,
                 Protocol protocol, std::uint16_t port = kPort) {
  INFO("at " << to << " port " << port);
  Question question{.to = to, .port = port, .protocol = protocol};
  if (expected == "silence") question.limit = 100ms;
  CHECK(ask(from, question).who == expected);
}

void for_each_flow(const TrafficHost& net,
                   const std::function<void(const Family&, Protocol)>& function) {
  for (const Family& family : kFamilies) {
    for (const Protocol protocol : net.protocols) {
      INFO(name_of(net.store) << " " << family.name << " " << name_of(protocol));
      function(family, protocol);
    }
  }
}

void check_host_port(const TrafficHost& net, const Pod& pod) {
  for_each_flow(net, [&](const Family& family, Protocol protocol) {
    const Question outer{.to = family.host, .port = kPort, .protocol = protocol};
    CHECK(ask(net.lan, outer).text() == pod.id + " saw " + family.lan);
    CHECK(ask(net.host, outer).text() == pod.id + " saw " + family.host);
    CHECK(ask(*pod.container, outer).text() == pod.id + " saw " + family.gateway_a);
  });
  for (const Protocol protocol : net.protocols) {
    CHECK(ask(net.host, {.to = "127.0.0.1", .port = kPort, .protocol = protocol}).who == pod.id);
  }
}

// A service as kube-proxy makes it: its own address at the port that is a host port too, and a node
// port.
struct Service {
  Store flavour;
  const char* ipv4;
  const char* ipv6;
  std::uint16_t node_port;

  const char* address(const Family& family) const {
    return std::string(family.any) == "::" ? ipv6 : ipv4;
  }
};

constexpr Service kNftService = {.flavour = Store::kIptablesNft,
                                 .ipv4 = "10.96.0.10",
                                 .ipv6 = "fd00:96::10",
                                 .node_port = 30080};
constexpr Service kLegacyService = {.flavour = Store::kIptablesLegacy,
                                    .ipv4 = "10.96.0.11",
                                    .ipv6 = "fd00:96::11",
                                    .node_port = 30081};

std::string kube_rules(const Service& service, const Family& family, const Pod& endpoint,
                       Protocol protocol) {
  const bool ipv6 = std::string(family.any) == "::";
  const std::string address = endpoint.address(family);
  return fmt::format(
      "-A KUBE-SERVICES -d {service} -p {p} -m {p} --dport {port} -j KUBE-SVC-{P}\n"
      "-A KUBE-NODEPORTS -p {p} -m {p} --dport {node_port} -j KUBE-EXT-{P}\n"
      "-A KUBE-EXT-{P} -j KUBE-MARK-MASQ\n"
      "-A KUBE-EXT-{P} -j KUBE-SVC-{P}\n"
      "-A KUBE-SVC-{P} ! -s {pods} -d {service} -p {p} -m {p} --dport {port} -j KUBE-MARK-MASQ\n"
      "-A KUBE-SVC-{P} -j KUBE-SEP-{P}\n"
      "-A KUBE-SEP-{P} -s {endpoint} -j KUBE-MARK-MASQ\n"
      "-A KUBE-SEP-{P} -p {p} -m {p} -j DNAT --to-destination {target}:80\n",
      fmt::arg("service", service.address(family)), fmt::arg("p", name_of(protocol)),
      fmt::arg("P", protocol == Protocol::kTcp ? "TCP" : "UDP"), fmt::arg("port", kPort),
      fmt::arg("node_port", service.node_port), fmt::arg("pods", ipv6 ? "fd00::/16" : "10.0.0.0/8"),
      fmt::arg("endpoint", address), fmt::arg("target", ipv6 ? "[" + address + "]" : address));
}

void add_service(const TrafficHost& net, const Service& service, const Pod& endpoint) {
  for (const Family& family : kFamilies) {
    std::string rules = "*nat\n";
    for (const char* chain : {"SERVICES", "NODEPORTS", "MARK-MASQ", "POSTROUTING", "SVC-TCP",
                              "SVC-UDP", "SEP-TCP", "SEP-UDP", "EXT-TCP", "EXT-UDP"}) {
      rules += fmt::format(":KUBE-{} - [0:0]\n", chain);
    }
    rules +=
        "-I PREROUTING -m comment --comment \"kubernetes service portals\" -j KUBE-SERVICES\n"
        "-I OUTPUT -m comment --comment \"kubernetes service portals\" -j KUBE-SERVICES\n"
        "-I POSTROUTING -m comment --comment \"kubernetes postrouting rules\" "
        "-j KUBE-POSTROUTING\n"
        "-A KUBE-MARK-MASQ -j MARK --set-xmark 0x4000/0x4000\n"
        "-A KUBE-POSTROUTING -m mark ! --mark 0x4000/0x4000 -j RETURN\n"
        "-A KUBE-POSTROUTING -j MARK --xor-mark 0x4000\n"
        "-A KUBE-POSTROUTING -j MASQUERADE --random-fully\n";
    for (const Protocol protocol : net.protocols) {
      rules += kube_rules(service, family, endpoint, protocol);
    }
    rules += "-A KUBE-SERVICES -m addrtype --dst-type LOCAL -j KUBE-NODEPORTS\nCOMMIT\n";
    net.iptables(service.flavour, family, "-restore --noflush", rules);
  }
}

void check_service(const TrafficHost& net, const Service& service, const Pod& endpoint,
                   const Pod& client, const std::vector<const Pod*>& others) {
  INFO("service in " << name_of(service.flavour));
  for_each_flow(net, [&](const Family& family, Protocol protocol) {
    const Question own{.to = service.address(family), .port = kPort, .protocol = protocol};
    CHECK(ask(*client.container, own).text() == endpoint.id + " saw " + client.address(family));
    CHECK(ask(*endpoint.container, own).text() == endpoint.id + " saw " + family.gateway_a);
    CHECK(ask(net.host, own).text() == endpoint.id + " saw " + family.gateway_a);
    for (const Pod* other : others) {
      CHECK(ask(*other->container, own).text() == endpoint.id + " saw " + other->address(family));
    }
    CHECK(
        ask(net.lan, {.to = family.host, .port = service.node_port, .protocol = protocol}).text() ==
        endpoint.id + " saw " + family.gateway_a);
  });
}

// The rules of kube-proxy as the tool lists them, without counters.
std::string kube_lines(const TrafficHost& net, const Service& service) {
  std::string kept;
  for (const Family& family : kFamilies) {
    std::istringstream lines(net.iptables(service.flavour, family, "-save -t nat"));
    for (std::string line; std::getline(lines, line);) {
      if (line.starts_with("-A") && line.find("KUBE-") != std::string::npos) kept += line + "\n";
    }
  }
  return kept;
}

// One flavour's services are there before the host port, the other's come after it.
void check_beside_kube_proxy(Store store) {
  TrafficHost net(store);
  net.host.run("ip route add default via 192.0.2.2");
  net.host.run("ip -6 route add default via 2001:db8:1::2");
  Pod& endpoint = net.add_server_on("a", "endpoint");
  Pod& client = net.add_server_on("b", "client");
  add_service(net, kNftService, endpoint);
  check_service(net, kNftService, endpoint, client, {});
  const std::string before = kube_lines(net, kNftService);
  CHECK(before.find("KUBE-SEP-UDP") != std::string::npos);

  Pod& pod = net.add_server_on("a", "pod", {net.portmap(mappings_of(net))});
  check_host_port(net, pod);
  check_service(net, kNftService, endpoint, client, {});
  add_service(net, kLegacyService, endpoint);
  const std::string legacy_before = kube_lines(net, kLegacyService);
  check_host_port(net, pod);
  check_service(net, kNftService, endpoint, client, {});
  check_service(net, kLegacyService, endpoint, client, {});

  net.del(pod);
  for_each_flow(net, [&](const Family& family, Protocol protocol) {
    check_hears("refused", net.lan, family.host, protocol);
  });
  check_service(net, kNftService, endpoint, client, {});
  check_service(net, kLegacyService, endpoint, client, {});
  CHECK(kube_lines(net, kNftService) == before);
  CHECK(kube_lines(net, kLegacyService) == legacy_before);
}

// Nobody's host port passes a policy that drops, and nobody changes the policy.
void check_forward_policy(Store store, Store flavour) {
  INFO("policy in " << name_of(flavour));
  TrafficHost net(store);
  Pod& pod = net.add_server_on("a", "pod", {net.portmap(mappings_of(net))});
  const auto policy = [&](const Family& family) {
    const std::string all = net.iptables(flavour, family, "-S FORWARD");
    return all.substr(0, all.find('\n'));
  };
  for (const Family& family : kFamilies) net.iptables(flavour, family, "-P FORWARD DROP");
  for_each_flow(net, [&](const Family& family, Protocol protocol) {
    check_hears("silence", net.lan, family.host, protocol);
    check_hears("pod", net.host, family.host, protocol);
  });
  net.del(pod);
  // Who waits for an answer from the pod's own address waits for ever: no server.
  Pod& next = net.add("net-a", "next", {net.bridge("a"), net.portmap(mappings_of(net))});
  for (const Family& family : kFamilies) {
    CHECK(policy(family) == "-P FORWARD DROP");
    net.iptables(flavour, family, "-A FORWARD -i up0 -o br-a -j ACCEPT");
    net.iptables(flavour, family, "-A FORWARD -i br-a -o up0 -j ACCEPT");
  }
  for (const Protocol protocol : net.protocols) {
    net.servers.serve_everywhere(*next.container, "next", protocol, 80);
  }
  for_each_flow(net, [&](const Family& family, Protocol protocol) {
    CHECK(ask(net.lan, {.to = family.host, .port = kPort, .protocol = protocol}).who == "next");
  });
  net.del(next);
  for (const Family& family : kFamilies) CHECK(policy(family) == "-P FORWARD DROP");
}

// Sends what is for 127.0.0.1 to `gateway`, like a neighbour who would like to see what listens
// there. `own` is the address it does so with.
void send_loopback_to(const Namespace& neighbour, const std::string& gateway,
                      const std::string& own) {
  neighbour.run("sysctl -qw net.ipv4.conf.all.route_localnet=1");
  neighbour.run("ip address del 127.0.0.1/8 dev lo");
  neighbour.run("ip route add 127.0.0.0/8 via " + gateway + " src " + own);
}

// While there are mappings, 127.0.0.1 stays the host's own, even if the whole host has
// route_localnet on, as kube-proxy has it.
void check_guard(Store store) {
  TrafficHost net(store);
  constexpr std::uint16_t kPrivate = 9000;
  for (const Protocol protocol : net.protocols) {
    net.servers.serve(net.host, "private", protocol, "127.0.0.1", kPrivate);
  }
  net.host.run("sysctl -qw net.ipv4.conf.all.route_localnet=1");
  Pod& same = net.add_server_on("a", "same");
  send_loopback_to(net.lan, kIpv4.host, kIpv4.lan);
  send_loopback_to(*same.container, kIpv4.gateway_a, same.address(kIpv4));
  const auto check_neighbours = [&](const std::string& hear) {
    for (const Protocol protocol : net.protocols) {
      INFO(name_of(store) << " " << name_of(protocol));
      check_hears(hear, net.lan, "127.0.0.1", protocol, kPrivate);
      check_hears(hear, *same.container, "127.0.0.1", protocol, kPrivate);
      check_hears("private", net.host, "127.0.0.1", protocol, kPrivate);
    }
  };
  check_neighbours("private");
  Pod& pod = net.add_server_on("a", "pod", {net.portmap(mappings_of(net))});
  check_neighbours("silence");
  for (const Protocol protocol : net.protocols) {
    INFO(name_of(store) << " " << name_of(protocol));
    // Nor is the mapping something that may be had by that address from elsewhere.
    check_hears("silence", net.lan, "127.0.0.1", protocol);
    check_hears("silence", *same.container, "127.0.0.1", protocol);
    CHECK(ask(net.host, {.to = "127.0.0.1", .port = kPort, .protocol = protocol}).who == "pod");
    CHECK(ask(net.lan, {.to = kIpv4.host, .port = kPort, .protocol = protocol}).who == "pod");
  }
  net.del(pod);
  check_neighbours("private");
}

}  // namespace

TEST_CASE("host ports of the native store and kube-proxy leave each other alone",
          "[traffic][nftables][iptables-nft][iptables-legacy]") {
  check_beside_kube_proxy(Store::kNative);
}

TEST_CASE("host ports of iptables-nft and kube-proxy leave each other alone",
          "[traffic][iptables-nft][iptables-legacy]") {
  check_beside_kube_proxy(Store::kIptablesNft);
}

TEST_CASE("host ports of iptables-legacy and kube-proxy leave each other alone",
          "[traffic][iptables-nft][iptables-legacy]") {
  check_beside_kube_proxy(Store::kIptablesLegacy);
}

TEST_CASE("a policy that drops what is forwarded is left as it is by the native store",
          "[traffic][nftables][iptables-nft][iptables-legacy]") {
  check_forward_policy(Store::kNative, Store::kIptablesNft);
  check_forward_policy(Store::kNative, Store::kIptablesLegacy);
}

TEST_CASE("a policy that drops what is forwarded is left as it is by iptables-nft",
          "[traffic][iptables-nft]") {
  check_forward_policy(Store::kIptablesNft, Store::kIptablesNft);
}

TEST_CASE("a policy that drops what is forwarded is left as it is by iptables-legacy",
          "[traffic][iptables-legacy]") {
  check_forward_policy(Store::kIptablesLegacy, Store::kIptablesLegacy);
}

TEST_CASE("neighbours do not reach 127.0.0.1 of a host with mappings in the native store",
          "[traffic][nftables]") {
  check_guard(Store::kNative);
}

TEST_CASE("neighbours do not reach 127.0.0.1 of a host with mappings in iptables-nft",
          "[traffic][iptables-nft]") {
  check_guard(Store::kIptablesNft);
}

TEST_CASE("neighbours do not reach 127.0.0.1 of a host with mappings in iptables-legacy",
          "[traffic][iptables-legacy]") {
  check_guard(Store::kIptablesLegacy);
}

TEST_CASE("host ports of the native store outlive the flush of all iptables tables",
          "[traffic][nftables][iptables-nft][iptables-legacy]") {
  TrafficHost net(Store::kNative);
  Pod& pod = net.add_server_on("a", "pod", {net.portmap(mappings_of(net))});
  for (const Store flavour : {Store::kIptablesNft, Store::kIptablesLegacy}) {
    for (const Family& family : kFamilies) {
      for (const char* table : {"filter", "nat", "mangle", "raw"}) {
        net.iptables(flavour, family, std::string("-t ") + table + " -F");
        net.iptables(flavour, family, std::string("-t ") + table + " -X");
      }
    }
  }
  check_host_port(net, pod);
  net.del(pod);
}

TEST_CASE("a host port is open to those it is meant for", "[traffic][nftables]") {
  TrafficHost net(Store::kNative);
  const std::vector<std::string> of_lan = {"192.0.2.0/24", "2001:db8:1::/64"};
  const std::vector<std::string> of_far = {"198.51.100.2/32", "2001:db8:2::2/128"};
  // What lan and far hear.
  struct Case {
    std::uint16_t port;
    std::string lan;
    std::string far;
  };
  const std::vector<Case> cases = {
      {.port = 8080, .lan = "pod", .far = "pod"},
      {.port = 8081, .lan = "pod", .far = "silence"},
      {.port = 8082, .lan = "pod", .far = "silence"},
      {.port = 8083, .lan = "silence", .far = "silence"},
      {.port = 8084, .lan = "silence", .far = "pod"},
  };
  Json mappings = Json::array();
  for (const Protocol protocol : net.protocols) {
    mappings.push_back(mapping(8080, 80, protocol));
    mappings.push_back(mapping(8081, 80, protocol));
    mappings.back()["allowFrom"] = of_lan;
    mappings.push_back(mapping(8082, 80, protocol));
    mappings.back()["denyFrom"] = of_far;
    mappings.push_back(mapping(8083, 80, protocol));
    mappings.back()["allowFrom"] = of_lan;
    mappings.back()["denyFrom"] = of_lan;
    mappings.push_back(mapping(8084, 80, protocol));
    mappings.back()["allowFrom"] = of_far;
  }
  Pod& pod = net.add_server_on("a", "pod", {net.portmap(mappings)});
  for_each_flow(net, [&](const Family& family, Protocol protocol) {
    for (const Case& each : cases) {
      check_hears(each.lan, net.lan, family.host, protocol, each.port);
      check_hears(each.far, net.far, family.host, protocol, each.port);
    }
  });
  net.del(pod);

  // The same words for all mappings of a network.
  Json portmap = net.portmap(mappings_of(net));
  portmap["denyFrom"] = of_far;
  Pod& next = net.add_server_on("a", "next", {portmap});
  for_each_flow(net, [&](const Family& family, Protocol protocol) {
    check_hears("next", net.lan, family.host, protocol);
    check_hears("silence", net.far, family.host, protocol);
  });
  net.del(next);
}
