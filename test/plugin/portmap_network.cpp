#include "plugin/portmap_network.h"

#include <algorithm>
#include <catch2/catch.hpp>
#include <chrono>
#include <sstream>
#include <stdexcept>
#include <thread>

namespace cni::test {
namespace {

// Of the whole host, in as few processes as possible.
void batch(const Namespace& where, const std::string& commands) {
  run_checked({.argv = {"ip", "-batch", "-"}, .input = commands, .netns = where.path()});
}

// The kernel puts off what a new address needs, until some later time.
void wait_for_local_route(const Namespace& where, const std::string& address) {
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(5);
  const Program show = {
      .argv = {"ip", "-6", "route", "show", "table", "local", "type", "local", "to", address},
      .netns = where.path()};
  while (run_checked(show).empty()) {
    if (std::chrono::steady_clock::now() > end) throw std::runtime_error("no route to " + address);
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
  }
}

}  // namespace

PortmapStore any_store() {
  return GENERATE(PortmapStore::kNative, PortmapStore::kDialect, PortmapStore::kLegacy);
}

std::string name_of(PortmapStore store) {
  switch (store) {
    case PortmapStore::kNative:
      return "native";
    case PortmapStore::kDialect:
      return "dialect";
    case PortmapStore::kLegacy:
      return "legacy";
  }
  return {};
}

PortmapNetwork::PortmapNetwork(PortmapStore chosen) : store(chosen) {
  config = {{"cniVersion", "1.1.0"},
            {"name", "net1"},
            {"type", "portmap"},
            {"backend", store == PortmapStore::kNative ? "nftables" : "iptables"}};
  if (store != PortmapStore::kNative) {
    const std::string flavour = store == PortmapStore::kDialect ? "-nft" : "-legacy";
    for (const std::string program : {"iptables", "ip6tables"}) {
      for (const std::string suffix : {"", "-save", "-restore"}) {
        run_checked({.argv = {"ln", "-s", "/usr/sbin/" + program + flavour + suffix,
                              programs_ / (program + suffix)}});
      }
    }
  }
  host.in([] {
    run_checked(
        {.argv = {"sh", "-c",
                  "cd /proc/sys/net; echo 1 >ipv4/ip_forward; "
                  "echo 1 >ipv6/conf/all/forwarding; echo 0 >ipv6/conf/default/accept_dad"}});
  });
  const std::string lan_name = lan.path().substr(std::string("/run/netns/").size());
  // Without link-local addresses, which come at some later time.
  batch(host,
        "link add br0 type bridge\n"
        "link set br0 addrgenmode none\n"
        "addr add 10.1.2.1/24 dev br0\n"
        "addr add fd00:1:2::1/64 dev br0 nodad\n"
        "link set br0 up\n"
        "link add up0 type veth peer name eth0 netns " +
            lan_name +
            "\n"
            "link set up0 addrgenmode none\n"
            "addr add 192.0.2.1/24 dev up0\n"
            "addr add 2001:db8::1/64 dev up0 nodad\n"
            "link set up0 up\n");
  batch(lan,
        "addr add 192.0.2.2/24 dev eth0\n"
        "addr add 2001:db8::2/64 dev eth0 nodad\n"
        "link set eth0 up\n"
        "route add default via 192.0.2.1\n"
        "route add ::/0 via 2001:db8::1\n");
  for (const char* address : {"fd00:1:2::1", "2001:db8::1"}) wait_for_local_route(host, address);
}

MappedPod& PortmapNetwork::add_container(unsigned number, bool connected) {
  const std::string id = "c" + std::to_string(number);
  const std::string n = std::to_string(number);
  MappedPod& pod = pods_.emplace_back(MappedPod{.container = &host.add_container(),
                                                .id = id,
                                                .v4 = "10.1.2." + n,
                                                .v6 = "fd00:1:2::" + n,
                                                .result = {}});
  pod.result = {
      {"cniVersion", "1.1.0"},
      {"interfaces", {{{"name", "br0"}}, {{"name", "eth0"}, {"sandbox", pod.container->path()}}}},
      {"ips",
       {{{"address", pod.v4 + "/24"}, {"gateway", "10.1.2.1"}, {"interface", 1}},
        {{"address", pod.v6 + "/64"}, {"gateway", "fd00:1:2::1"}, {"interface", 1}}}}};
  if (!connected) return pod;
  const std::string netns = pod.container->path().substr(std::string("/run/netns/").size());
  batch(host, "link add v" + n + " type veth peer name eth0 netns " + netns + "\nlink set v" + n +
                  " addrgenmode none\nlink set v" + n + " master br0 up\nlink set v" + n +
                  " type bridge_slave hairpin on\n");
  batch(*pod.container, "link set lo up\naddr add " + pod.v4 + "/24 dev eth0\naddr add " + pod.v6 +
                            "/64 dev eth0 nodad\nlink set eth0 up\nroute add default via "
                            "10.1.2.1\nroute add ::/0 via fd00:1:2::1\n");
  for (const Protocol protocol : {Protocol::kTcp, Protocol::kUdp}) {
    servers.serve_everywhere(*pod.container, id, protocol, 80);
  }
  wait_for_answer(host, {.to = pod.v4, .port = 80, .protocol = Protocol::kUdp});
  wait_for_answer(host, {.to = pod.v6, .port = 80, .protocol = Protocol::kUdp});
  return pod;
}

Json PortmapNetwork::mapping(unsigned host_port, unsigned container_port,
                             const std::string& protocol, const Json& more) {
  Json one = {{"hostPort", host_port}, {"containerPort", container_port}, {"protocol", protocol}};
  one.update(more);
  return one;
}

PluginCall PortmapNetwork::call(const std::string& verb, const MappedPod& pod) const {
  Json conf = config;
  if (!pod.result.is_null() && verb != "GC" && verb != "STATUS") conf["prevResult"] = pod.result;
  return {.plugin = "portmap",
          .verb = verb,
          .config = conf.dump(),
          .container_id = pod.id,
          .netns = pod.container->path(),
          .ifname = pod.ifname,
          .environment = {{"PATH", programs_.path()}},
          .host = host.path()};
}

PluginOutcome PortmapNetwork::run_reference(const std::string& verb, const MappedPod& pod) const {
  PluginCall theirs = call(verb, pod);
  theirs.plugin = "/usr/lib/cni/portmap";
  Json conf = Json::parse(theirs.config);
  // Debian's release of it.
  conf["cniVersion"] = "1.0.0";
  conf.erase("backend");
  if (conf.contains("prevResult")) conf["prevResult"]["cniVersion"] = "1.0.0";
  theirs.config = conf.dump();
  return run_plugin_binary(theirs);
}

void PortmapNetwork::must(const std::string& verb, const MappedPod& pod) const {
  const PluginOutcome outcome = run(verb, pod);
  INFO(outcome.text());
  REQUIRE(outcome.status == 0);
  if (verb == "ADD") {
    REQUIRE(outcome.json);
    CHECK(*outcome.json == pod.result);
  } else {
    CHECK(outcome.out.empty());
  }
  CHECK(outcome.err.empty());
}

void PortmapNetwork::must_by_reference(const std::string& verb, const MappedPod& pod) const {
  const PluginOutcome outcome = run_reference(verb, pod);
  INFO(outcome.text());
  REQUIRE(outcome.status == 0);
}

std::string PortmapNetwork::check(const MappedPod& pod) const {
  const PluginOutcome outcome = run("CHECK", pod);
  return outcome.status == 0 ? outcome.out : outcome.message();
}

std::vector<std::string> PortmapNetwork::rules(int family) const {
  const std::string program = std::string("/usr/sbin/") + (family == 4 ? "iptables" : "ip6tables") +
                              (store == PortmapStore::kLegacy ? "-legacy-save" : "-nft-save");
  const Outcome saved = cni::test::run({.argv = {program, "-t", "nat"}, .netns = host.path()});
  std::vector<std::string> lines;
  std::istringstream stream(saved.out);
  for (std::string line; std::getline(stream, line);) {
    if (line.starts_with("-A ")) lines.push_back(line);
  }
  std::ranges::sort(lines);
  return lines;
}

}  // namespace cni::test
