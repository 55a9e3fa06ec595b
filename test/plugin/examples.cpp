#include "plugin/examples.h"

#include <catch2/catch.hpp>

#include "support/echo.h"
#include "support/sandbox.h"

namespace cni::test {
namespace {

using nlohmann::json;

bool pings(const Namespace& from, const std::string& address) {
  const Program ping{.argv = {"ping", "-n", "-c", "1", "-W", "2", address}, .netns = from.path()};
  return run(ping).status == 0;
}

json link_of(const Namespace& in, const std::string& name) {
  return json::parse(in.run("ip -d -j link show dev " + name)).at(0);
}

// Gives both containers an address on `device`, sees whether they reach each other, and takes the
// addresses away.
bool join_by_hand(const Pair& pair, const std::string& device) {
  pair.containers[0]->run("ip address add 10.99.0.1/24 dev " + device);
  pair.containers[1]->run("ip address add 10.99.0.2/24 dev " + device);
  const bool joined = pings(*pair.containers[0], "10.99.0.2");
  for (const Namespace* container : pair.containers) {
    container->run("ip address flush dev " + device);
  }
  return joined;
}

bool join_by_vlan(const Pair& pair, const std::string& vlan) {
  for (const Namespace* container : pair.containers) {
    container->run("ip link add link eth0 name tagged type vlan id " + vlan);
    container->run("ip link set tagged up");
  }
  const bool joined = join_by_hand(pair, "tagged");
  for (const Namespace* container : pair.containers) container->run("ip link del tagged");
  return joined;
}

}  // namespace

std::vector<std::string> Pair::addresses(std::size_t index) const {
  std::vector<std::string> all;
  for (const json& ip : results.at(index).value("ips", json::array())) {
    const auto cidr = ip.at("address").get<std::string>();
    all.push_back(cidr.substr(0, cidr.find('/')));
  }
  return all;
}

void check_reach(const Pair& pair) {
  for (const std::size_t index : {0U, 1U}) {
    for (const std::string& address : pair.addresses(index)) {
      INFO("container " << index << " at " << address);
      CHECK(pings(*pair.containers[1 - index], address));
      CHECK(pings(pair.host, address));
    }
    for (const json& ip : pair.results[index].value("ips", json::array())) {
      if (!ip.contains("gateway")) continue;
      INFO("gateway " << ip.at("gateway"));
      CHECK(pings(*pair.containers[index], ip.at("gateway")));
    }
  }
}

std::vector<Example> plain_examples() {
  return {
      {.file = "bridge.conflist", .network = "bridge", .shared = {"cni-bridge"}},
      {.file = "10-containerd-net.conflist",
       .network = "containerd-net",
       .shared = {"cni0"},
       .addresses = 2,
       .look =
           [](const Pair& pair) {
             CHECK(link_of(pair.host, "cni0").at("promiscuity") != 0);
             CHECK(pair.containers[0]->run("ip -6 route show default").find("via fd00:88::1") !=
                   std::string::npos);
           }},
      {.file = "11-crio-bridge.conflist",
       .network = "crio",
       .shared = {"cni0"},
       .addresses = 2,
       .look =
           [](const Pair& pair) {
             const std::string port = pair.results[0].at("interfaces").at(1).at("name");
             CHECK(link_of(pair.host, port).at("linkinfo").at("info_slave_data").at("hairpin") ==
                   true);
             CHECK(pair.containers[0]->run("ip route show default").find("via 10.85.0.1") !=
                   std::string::npos);
           }},
      {.file = "nerdctl-bridge.conflist",
       .network = "nerdctl",
       .shared = {"nerdctl0"},
       .cap_args =
           {R"({"portMappings": [{"hostPort": 8080, "containerPort": 80, "protocol": "udp"}]})",
            ""},
       .look =
           [](const Pair& pair) {
             EchoServers servers;
             servers.serve_everywhere(*pair.containers[0], "c1", Protocol::kUdp, 80);
             const Question question{.to = "127.0.0.1", .port = 8080, .protocol = Protocol::kUdp};
             CHECK(ask(pair.host, question).text() == "c1 saw 10.4.0.1");
           }},
      {.file = "dual-stack.conflist",
       .network = "dual-stack",
       .shared = {"cni-dual"},
       .addresses = 2,
       .look =
           [](const Pair& pair) {
             CHECK(pair.addresses(0).at(0).starts_with("10.21.0."));
             CHECK(pair.addresses(0).at(1).starts_with("fd00:21::"));
           }},
      {.file = "ipv6-only.conflist",
       .network = "ipv6-only",
       .shared = {"cni-ipv6"},
       .look =
           [](const Pair& pair) {
             CHECK(pair.addresses(0).at(0).starts_with("fd00:22::"));
             CHECK(pair.containers[0]->run("ip -4 address show dev eth0").empty());
           }},
      {.file = "several-ranges.conflist",
       .network = "several-ranges",
       .shared = {"cni-ranges"},
       .addresses = 2,
       .look =
           [](const Pair& pair) {
             CHECK(pair.addresses(0) == std::vector<std::string>{"10.23.0.10", "10.24.0.1"});
             CHECK(pair.addresses(1) == std::vector<std::string>{"10.23.0.11", "10.24.0.2"});
             const std::string routes = pair.containers[0]->run("ip route show");
             CHECK(routes.find("default via 10.23.0.1 ") != std::string::npos);
             CHECK(routes.find("10.0.0.0/8 via 10.24.0.254 ") != std::string::npos);
           }},
      {.file = "static-address.conflist",
       .network = "static-address",
       .shared = {"cni-static"},
       .cap_args = {R"({"ips": ["10.25.0.77"], "mac": "02:00:00:00:00:77"})", ""},
       .look =
           [](const Pair& pair) {
             CHECK(pair.addresses(0).at(0) == "10.25.0.77");
             CHECK(link_of(*pair.containers[0], "eth0").at("address") == "02:00:00:00:00:77");
             // Nobody asked for one.
             CHECK(pair.addresses(1).at(0) != "10.25.0.77");
           }},
      {.file = "sticky-addresses.conflist",
       .network = "sticky-addresses",
       .shared = {"cni-sticky"},
       .args = {"IgnoreUnknown=1;K8S_POD_NAMESPACE=shop;K8S_POD_NAME=db-0",
                "IgnoreUnknown=1;K8S_POD_NAMESPACE=shop;K8S_POD_NAME=db-1"},
       .prepare =
           [](Host& host) {
             host.run("ip link add uplink mtu 1400 type veth peer name beyond");
             // Link-local addresses would come when the kernel has looked for duplicates.
             host.run("ip link set uplink addrgenmode none");
             host.run("ip link set beyond addrgenmode none");
             host.run("ip address add 192.168.77.1/24 dev uplink");
             host.run("ip link set beyond up");
             host.run("ip link set uplink up");
             host.run("ip route add default via 192.168.77.2");
           },
       .look =
           [](const Pair& pair) {
             // The range starts with reserved ones.
             CHECK(pair.addresses(0).at(0) == "10.26.0.10");
             CHECK(link_of(*pair.containers[0], "eth0").at("mtu") == 1400);
           }},
      {.file = "veth.conflist",
       .network = "veth",
       .shared = {},
       .addresses = 2,
       .look =
           [](const Pair& pair) {
             check_reach(pair);
             CHECK(link_of(*pair.containers[0], "eth0").at("mtu") == 1450);
             CHECK(pair.containers[0]->run("ip route show default").find("via 10.28.0.1") !=
                   std::string::npos);
           }},
      {.file = "masquerade.conflist",
       .network = "masquerade",
       .shared = {"cni-masq"},
       .addresses = 2,
       .look =
           [](const Pair& pair) {
             // Both are elements of one map, and the exceptions stand in a set.
             const std::string rules = pair.host.run("nft list table ip plumb_masquerade");
             for (const std::size_t index : {0U, 1U}) {
               CHECK(rules.find(pair.addresses(index).at(0) + " comment \"masquerade/c") !=
                     std::string::npos);
             }
             CHECK(rules.find("10.0.0.0/8, 224.0.0.0/4") != std::string::npos);
           }},
      {.file = "layer-2.conflist",
       .network = "layer-2",
       .shared = {"cni-layer2"},
       .addresses = 0,
       .look = [](const Pair& pair) { CHECK(join_by_hand(pair, "eth0")); }},
      {.file = "loopback.conflist",
       .network = "loopback",
       .shared = {},
       .ifname = "lo",
       .addresses = 2,
       .look =
           [](const Pair& pair) {
             CHECK(pings(*pair.containers[0], "127.0.0.1"));
             CHECK(pings(*pair.containers[1], "::1"));
           }},
  };
}

std::vector<Example> vlan_examples() {
  return {
      {.file = "vlan-access.conflist",
       .network = "vlan-access",
       .shared = {"cni-vlan.100", "cni-vlan"},
       .look =
           [](const Pair& pair) {
             const std::string port = pair.results[0].at("interfaces").at(1).at("name");
             const auto vlans =
                 json::parse(pair.host.run("bridge -j vlan show dev " + port)).at(0).at("vlans");
             REQUIRE(vlans.size() == 1);
             CHECK(vlans[0].at("vlan") == 100);
             CHECK(pair.host.run("ip address show dev cni-vlan.100").find("10.27.0.1/24") !=
                   std::string::npos);
           }},
      {.file = "vlan-trunk.conflist",
       .network = "vlan-trunk",
       .shared = {"cni-trunk"},
       .addresses = 0,
       .look =
           [](const Pair& pair) {
             for (const char* vlan : {"200", "209", "300"}) {
               INFO(vlan);
               CHECK(join_by_vlan(pair, vlan));
             }
             CHECK_FALSE(join_by_vlan(pair, "210"));
             CHECK_FALSE(join_by_hand(pair, "eth0"));
           }},
  };
}

}  // namespace cni::test
