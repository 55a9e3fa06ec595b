#include "plugin/traffic_network.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <catch2/catch.hpp>
#include <filesystem>
#include <sstream>
#include <stdexcept>

namespace cni::test {
namespace {

// No address waits for the search for duplicates.
void set_up_kernel(const Namespace& where) {
  where.run(
      "sysctl -qw net.ipv6.conf.all.accept_dad=0 net.ipv6.conf.default.accept_dad=0 "
      "net.ipv6.conf.default.autoconf=0 net.ipv6.conf.default.accept_ra=0");
}

void ip_batch(const Namespace& where, const std::string& commands) {
  run_checked({.argv = {"ip", "-batch", "-"}, .input = commands, .netns = where.path()});
}

void link_program(const std::string& directory, const std::string& name, const std::string& to) {
  std::filesystem::create_symlink(to, directory + "/" + name);
}

}  // namespace

std::string name_of(Store store) {
  switch (store) {
    case Store::kNative:
      return "native";
    case Store::kIptablesNft:
      return "iptables-nft";
    case Store::kIptablesLegacy:
      return "iptables-legacy";
  }
  return "?";
}

std::string backend_of(Store store) {
  return store == Store::kNative ? "nftables" : "iptables";
}

std::string Pod::address(const Family& family) const {
  const bool ipv6 = std::string(family.any) == "::";
  for (const Json& ip : result.at("ips")) {
    const auto cidr = ip.at("address").get<std::string>();
    if ((cidr.find(':') != std::string::npos) == ipv6) return cidr.substr(0, cidr.find('/'));
  }
  throw std::runtime_error(id + " has no address of " + family.name);
}

TrafficHost::TrafficHost(Store chosen, std::vector<Protocol> spoken)
    : store(chosen), protocols(std::move(spoken)) {
  // The reference plugins run what they find in PATH, ours look where its links lead to.
  if (store != Store::kNative) {
    const std::string multi = store == Store::kIptablesNft ? "/usr/sbin/xtables-nft-multi"
                                                           : "/usr/sbin/xtables-legacy-multi";
    for (const char* name : {"iptables", "ip6tables"}) link_program(programs_.path(), name, multi);
  }

  for (const Namespace* each : {static_cast<Namespace*>(&host), &lan, &far}) set_up_kernel(*each);
  host.run("sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1");
  ip_batch(host, fmt::format("link add up0 type veth peer name eth0 netns {}\n"
                             "link add up1 type veth peer name eth0 netns {}\n"
                             "link set up0 up\n"
                             "link set up1 up\n"
                             "address add 192.0.2.1/24 dev up0\n"
                             "address add 192.0.2.11/24 dev up0\n"
                             "address add 2001:db8:1::11/64 dev up0 nodad\n"
                             // The last one is what the kernel prefers as a source.
                             "address add 2001:db8:1::1/64 dev up0 nodad\n"
                             "address add 198.51.100.1/24 dev up1\n"
                             "address add 2001:db8:2::1/64 dev up1 nodad\n",
                             lan.path(), far.path()));
  const std::array<std::array<const char*, 3>, 2> outside = {
      {{"192.0.2.2/24", "192.0.2.1", "2001:db8:1::"},
       {"198.51.100.2/24", "198.51.100.1", "2001:db8:2::"}}};
  for (std::size_t index = 0; index < outside.size(); ++index) {
    const auto& [address, gateway, prefix] = outside.at(index);
    ip_batch(index == 0 ? lan : far, fmt::format("link set eth0 up\n"
                                                 "address add {0} dev eth0\n"
                                                 "address add {2}2/64 dev eth0 nodad\n"
                                                 "route add default via {1}\n"
                                                 "route add default via {2}1\n",
                                                 address, gateway, prefix));
  }
  servers.serve_everywhere(far, "far", Protocol::kUdp, 7);
  for (const Family& family : {kIpv4, kIpv6}) {
    wait_for_answer(lan, {.to = family.far, .port = 7, .protocol = Protocol::kUdp});
  }
}

Json TrafficHost::bridge(const std::string& letter) const {
  const std::string number = letter == "a" ? "1" : "2";
  return {{"type", "bridge"},
          {"bridge", "br-" + letter},
          {"isGateway", true},
          {"isDefaultGateway", true},
          // Where bridged packets pass iptables (br_netfilter), one that comes back to the pod that
          // sent it leaves by the port it came from.
          {"hairpinMode", true},
          {"ipMasqBackend", backend_of(store)},
          {"ipam",
           {{"type", "host-local"},
            {"dataDir", programs_ / "networks"},
            {"ranges",
             {{{{"subnet", "10." + number + ".0.0/24"}}},
              {{{"subnet", "fd00:" + number + "::/64"}}}}}}}};
}

Json TrafficHost::portmap(const Json& mappings) const {
  return {{"type", "portmap"},
          {"backend", backend_of(store)},
          {"capabilities", {{"portMappings", true}}},
          {"runtimeConfig", {{"portMappings", mappings}}}};
}

// A program that stands in for the plugin, under strace.
std::string TrafficHost::traced(const std::string& plugin) {
  const std::string wrapper = traces_ / plugin;
  if (std::filesystem::exists(wrapper)) return wrapper;
  // The search for leaks at the end does not work under ptrace(2).
  return traces_.write(plugin,
                       fmt::format("#!/bin/sh\n"
                                   "ASAN_OPTIONS=detect_leaks=0 exec /usr/bin/strace -f -qq "
                                   "-e trace=execve,execveat -o {}/$$.trace {}/{}\n",
                                   traces_.path(), plugin_directory(), plugin),
                       0755);
}

std::vector<std::string> TrafficHost::executed() {
  std::vector<std::string> programs;
  for (const auto& entry : std::filesystem::directory_iterator(traces_.path())) {
    if (entry.path().extension() != ".trace") continue;
    // <pid> execve("/path/of/plugin", ...) = 0
    std::istringstream lines(read_whole_file(entry.path()));
    for (std::string line; std::getline(lines, line);) {
      const std::size_t begin = line.find('"');
      if (begin == std::string::npos) continue;
      const std::string path = line.substr(begin + 1, line.find('"', begin + 1) - begin - 1);
      programs.push_back(path.substr(path.rfind('/') + 1));
    }
    std::filesystem::remove(entry.path());
  }
  std::ranges::sort(programs);
  return programs;
}

std::vector<PluginOutcome> TrafficHost::run(const std::string& verb, Pod& pod) {
  std::vector<Json> chain = pod.chain;
  if (verb == "DEL") std::ranges::reverse(chain);
  std::vector<PluginOutcome> outcomes;
  for (Json config : chain) {
    if (!pod.result.is_null()) config["prevResult"] = pod.result;
    std::string plugin = config.at("type");
    if (traced_) plugin = traced(plugin);
    outcomes.push_back(run_plugin_binary({.plugin = plugin,
                                          .verb = verb,
                                          .config = config.dump(),
                                          .container_id = pod.id,
                                          .netns = pod.container->path(),
                                          .environment = {{"PATH", path()}},
                                          .host = host.path()}));
    const PluginOutcome& outcome = outcomes.back();
    if (verb == "DEL") continue;
    if (outcome.status != 0) break;
    if (verb == "ADD" && outcome.json) pod.result = *outcome.json;
  }
  return outcomes;
}

Pod TrafficHost::attachment(const std::string& network, const std::string& id,
                            std::vector<Json> chain) {
  for (Json& config : chain) {
    config["cniVersion"] = "1.0.0";
    config["name"] = network;
  }
  Pod pod{.container = &host.add_container(id), .id = id, .chain = std::move(chain)};
  set_up_kernel(*pod.container);
  pod.container->run("ip link set lo up");
  return pod;
}

Pod& TrafficHost::add(const std::string& network, const std::string& id, std::vector<Json> chain) {
  pods_.push_back(attachment(network, id, std::move(chain)));
  Pod& pod = pods_.back();
  for (const PluginOutcome& outcome : run("ADD", pod)) {
    INFO(outcome.text());
    REQUIRE(outcome.status == 0);
  }
  return pod;
}

Pod& TrafficHost::add_server_on(const std::string& letter, const std::string& id,
                                const std::vector<Json>& more) {
  std::vector<Json> chain = {bridge(letter)};
  chain.insert(chain.end(), more.begin(), more.end());
  return add_server("net-" + letter, id, std::move(chain));
}

Pod& TrafficHost::add_server(const std::string& network, const std::string& id,
                             std::vector<Json> chain) {
  Pod& pod = add(network, id, std::move(chain));
  for (const Protocol protocol : protocols) {
    servers.serve_everywhere(*pod.container, id, protocol, 80);
  }
  for (const Family& family : {kIpv4, kIpv6}) {
    wait_for_answer(lan, {.to = pod.address(family), .port = 80, .protocol = protocols.front()});
  }
  return pod;
}

void TrafficHost::del(Pod& pod) {
  servers.stop(pod.id);
  for (const PluginOutcome& outcome : run("DEL", pod)) {
    INFO(outcome.text());
    REQUIRE(outcome.status == 0);
    CHECK(outcome.out.empty());
  }
}

std::string TrafficHost::iptables(Store flavour, const Family& family, const std::string& words,
                                  const std::string& input) const {
  const std::string tool = std::string(family.any) == "::" ? "ip6tables" : "iptables";
  const std::string suffix = flavour == Store::kIptablesLegacy ? "-legacy" : "-nft";
  Program program{.argv = {}, .input = input, .netns = host.path()};
  std::istringstream stream(
      "/usr/sbin/" + tool + suffix +
      (words.starts_with("-restore") || words.starts_with("-save") ? "" : " ") + words);
  for (std::string word; stream >> word;) program.argv.push_back(word);
  return run_checked(program);
}

void TrafficHost::set_bridge_netfilter(bool on) const {
  const std::string value = on ? "1" : "0";
  for (const char* family : {"iptables", "ip6tables"}) {
    const std::string name = std::string("net.bridge.bridge-nf-call-") + family;
    if (test::run({.argv = {"sysctl", "-q", name}, .netns = host.path()}).status != 0) return;
    host.run("sysctl -qw " + name + "=" + value);
  }
}

Snapshot TrafficHost::snapshot() const {
  return Snapshot::take(host.path(), {"/var/lib/cni"});
}

Json mapping(std::uint16_t host_port, std::uint16_t container_port, Protocol protocol,
             const std::string& host_ip) {
  Json result = {
      {"hostPort", host_port}, {"containerPort", container_port}, {"protocol", name_of(protocol)}};
  if (!host_ip.empty()) result["hostIP"] = host_ip;
  return result;
}

}  // namespace cni::test
