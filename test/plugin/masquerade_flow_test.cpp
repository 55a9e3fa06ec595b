// As whom a pod is seen outside, for every key of masquerading, in every store.
#include <arpa/inet.h>

#include <algorithm>
#include <array>
#include <catch2/catch.hpp>
#include <random>

#include "plugin/masquerade_network.h"

using namespace cni::test;  // NOLINT(google-build-using-namespace)

namespace {

using Texts = std::vector<std::string>;

// Whom a destination sees. "own" stands for the address of the pod, and several for any of them.
struct Expected {
  std::string to;
  Texts sources;
};

struct Case {
  const char* name;
  Json keys;
  std::vector<Expected> expected;
};

const Texts kOwn = {"own"};
const Texts kHost4 = {kIpv4.host};
const Texts kHost6 = {kIpv6.host};
const Texts kFar4 = {kIpv4.host_at_far};

std::vector<Case> cases() {
  return {
      {"no key",
       Json::object(),
       {{kIpv4.lan, kHost4},
        {"198.18.3.4", kHost4},
        {kIpv4.far, kFar4},
        {kIpv6.lan, kHost6},
        {"2001:db8:1000::7", kHost6},
        {kIpv6.far, {kIpv6.host_at_far}}}},
      {"IPv4 alone", {{"masquerade", {{"ipv6", false}}}}, {{kIpv4.lan, kHost4}, {kIpv6.lan, kOwn}}},
      {"IPv6 alone", {{"masquerade", {{"v4", false}}}}, {{kIpv4.lan, kOwn}, {kIpv6.lan, kHost6}}},
      {"none", {{"masquerade", false}}, {{kIpv4.lan, kOwn}, {kIpv6.lan, kOwn}}},
      {"exceptions",
       {{"nonMasqueradeCIDRs", {"198.18.3.0/24", "198.18.4.4/32", "2001:db8:1000:7::/64"}}},
       {{"198.18.3.4", kOwn},
        {"198.18.2.255", kHost4},
        {"198.18.4.3", kHost4},
        {"198.18.4.4", kOwn},
        {"2001:db8:1000:7::1", kOwn},
        {"2001:db8:1000:8::1", kHost6}}},
      {"everything is an exception",
       {{"nonMasqueradeCIDRs", {"0.0.0.0/0", "::/0"}}},
       {{kIpv4.lan, kOwn}, {kIpv6.lan, kOwn}}},
      {"some destinations",
       {{"masqueradeCIDRs", {"198.18.3.0/24", "198.18.4.0/22"}}},
       {{"198.18.3.4", kHost4},
        {"198.18.7.255", kHost4},
        {"198.18.8.0", kOwn},
        {kIpv4.lan, kOwn},
        {kIpv6.lan, kOwn}}},
      {"some destinations but some of these",
       {{"masqueradeCIDRs", {"198.18.0.0/16", "::/0"}}, {"nonMasqueradeCIDRs", {"198.18.3.0/24"}}},
       {{"198.18.3.4", kOwn}, {"198.18.2.1", kHost4}, {"198.19.0.1", kOwn}, {kIpv6.lan, kHost6}}},
      {"one way out",
       {{"outInterfaces", {"up1"}}},
       {{kIpv4.lan, kOwn}, {kIpv4.far, kFar4}, {kIpv6.lan, kOwn}}},
      {"ways out by the beginning of their names",
       {{"outInterfaces", {"eth0", "up+"}}},
       {{kIpv4.lan, kHost4}, {kIpv4.far, kFar4}, {kIpv6.lan, kHost6}}},
      {"ways out that are not there",
       {{"outInterfaces", {"u", "up00", "up10+"}}},
       {{kIpv4.lan, kOwn}, {kIpv4.far, kOwn}}},
      {"one way out and some destinations",
       {{"outInterfaces", {"up0"}}, {"masqueradeCIDRs", {"198.18.3.0/24", "203.0.113.0/24"}}},
       {{"198.18.3.4", kHost4}, {"203.0.113.1", kOwn}, {kIpv4.lan, kOwn}}},
      {"a source address of IPv4",
       {{"snat", {{"ipv4", kIpv4.other_host}}}},
       {{kIpv4.lan, {kIpv4.other_host}}, {kIpv4.far, {kIpv4.other_host}}, {kIpv6.lan, kHost6}}},
      {"a source address of each family",
       {{"snat", {{"v4", kIpv4.other_host}, {"v6", kIpv6.other_host}}}},
       {{kIpv4.lan, {kIpv4.other_host}}, {kIpv6.lan, {kIpv6.other_host}}}},
      {"a range of source addresses",
       {{"snat", {{"ipv4", "192.0.2.11-192.0.2.13"}, {"persistent", true}}}},
       {{kIpv4.lan, {"192.0.2.11", "192.0.2.12", "192.0.2.13"}},
        {"198.18.1.1", {"192.0.2.11", "192.0.2.12", "192.0.2.13"}}}},
      {"no random ports", {{"fullyRandom", false}}, {{kIpv4.lan, kHost4}, {kIpv6.lan, kHost6}}},
      {"random ports", {{"fullyRandom", true}}, {{kIpv4.lan, kHost4}, {kIpv6.lan, kHost6}}},
  };
}

void check_seen(const MasqueradeNetwork& network, const Pod& pod, const Expected& expected) {
  const std::string seen = network.seen(pod, expected.to);
  INFO(expected.to << ": " << seen);
  const bool v6 = expected.to.find(':') != std::string::npos;
  CHECK(std::ranges::any_of(expected.sources, [&](const std::string& source) {
    return seen.ends_with(" saw " + (source == "own" ? pod.address(v6 ? kIpv6 : kIpv4) : source));
  }));
}

void check_cases(Store store) {
  MasqueradeNetwork network(store);
  network.net.host.run("ip address add 192.0.2.12/24 dev up0");
  network.net.host.run("ip address add 192.0.2.13/24 dev up0");
  Pod& pod = network.add_pod("pod");
  Pod& neighbour = network.add_pod("neighbour");
  // In the stores of xtables the built-in chains stay.
  network.succeed("ADD", pod);
  network.succeed("DEL", pod);
  const Snapshot before = network.snapshot();
  const Json base = network.config;
  for (const Case& each : cases()) {
    INFO(name_of(store) << ": " << each.name);
    network.config = base;
    network.config.update(each.keys);
    const PluginOutcome added = network.run("ADD", pod);
    INFO(added.text());
    REQUIRE(added.status == 0);
    Json passed_on = *added.json;
    passed_on["cniVersion"] = pod.result.at("cniVersion");
    CHECK(passed_on == pod.result);
    network.succeed("CHECK", pod);
    const PluginOutcome status = network.run_for_network("STATUS");
    INFO(status.text());
    CHECK(status.status == 0);
    for (const Expected& expected : each.expected) check_seen(network, pod, expected);
    check_seen(network, neighbour, {.to = kIpv4.lan, .sources = kOwn});
    const Snapshot once = network.snapshot();
    network.succeed("ADD", pod);
    CHECK(difference(once, network.snapshot()) == "");
    network.succeed("DEL", pod);
    CHECK(difference(before, network.snapshot()) == "");
    check_seen(network, pod, {.to = kIpv4.lan, .sources = kOwn});
  }
}

// A number of networks below those that lan and far have, some inside others.
Texts random_networks(std::mt19937& random, std::size_t count) {
  Texts networks;
  while (networks.size() < count) {
    if (random() % 3 == 0) {
      networks.push_back("2001:db8:1000:" + std::to_string(random() % 8) + "::/" +
                         std::to_string(60 + random() % 6));
    } else {
      networks.push_back("198.18." + std::to_string(random() % 16) + "." +
                         std::to_string(random() % 256) + "/" + std::to_string(20 + random() % 13));
    }
  }
  return networks;
}

// The bits of an address, the highest first; 32 or 128 of them.
std::vector<bool> bits_of(const std::string& address) {
  std::array<unsigned char, 16> bytes{};
  const bool v6 = address.find(':') != std::string::npos;
  REQUIRE(inet_pton(v6 ? AF_INET6 : AF_INET, address.c_str(), bytes.data()) == 1);
  std::vector<bool> bits;
  for (std::size_t bit = 0; bit < (v6 ? 128 : 32); ++bit) {
    bits.push_back((bytes.at(bit / 8) >> (7 - bit % 8) & 1U) != 0);
  }
  return bits;
}

bool holds(const Texts& networks, const std::string& address) {
  const std::vector<bool> bits = bits_of(address);
  return std::ranges::any_of(networks, [&](const std::string& network) {
    const std::size_t slash = network.find('/');
    const std::vector<bool> first = bits_of(network.substr(0, slash));
    return first.size() == bits.size() &&
           std::equal(bits.begin(), bits.begin() + std::stoi(network.substr(slash + 1)),
                      first.begin());
  });
}

void check_random_lists(Store store) {
  MasqueradeNetwork network(store);
  Pod& pod = network.add_pod("pod");
  std::mt19937 random(18);  // NOLINT(bugprone-random-generator-seed): each run is the same
  for (int round = 0; round < 6; ++round) {
    const Texts skipped = random_networks(random, random() % 12);
    const Texts only = random_networks(random, round % 2 == 0 ? 0 : 1 + random() % 12);
    network.config["nonMasqueradeCIDRs"] = skipped;
    network.config["masqueradeCIDRs"] = only;
    INFO(network.config.dump());
    network.succeed("ADD", pod);
    network.succeed("CHECK", pod);
    for (int probe = 0; probe < 30; ++probe) {
      const bool v6 = random() % 3 == 0;
      const std::string to =
          v6 ? "2001:db8:1000:" + std::to_string(random() % 8) + "::" + std::to_string(probe + 1)
             : "198.18." + std::to_string(random() % 16) + "." + std::to_string(random() % 256);
      const bool translated = !holds(skipped, to) && (only.empty() || holds(only, to));
      check_seen(network, pod, {.to = to, .sources = translated ? (v6 ? kHost6 : kHost4) : kOwn});
    }
  }
}

}  // namespace

TEST_CASE("every key of masquerade at work, native", "[masquerade][bridge][veth][nftables][ipv6]") {
  check_cases(Store::kNative);
}

TEST_CASE("every key of masquerade at work, iptables-nft",
          "[masquerade][bridge][veth][iptables-nft][ipv6]") {
  check_cases(Store::kIptablesNft);
}

TEST_CASE("every key of masquerade at work, iptables-legacy",
          "[masquerade][bridge][veth][iptables-legacy][ipv6]") {
  check_cases(Store::kIptablesLegacy);
}

TEST_CASE("random lists of networks act as a model says, native",
          "[masquerade][bridge][veth][nftables][ipv6]") {
  check_random_lists(Store::kNative);
}

TEST_CASE("random lists of networks act as a model says, iptables-nft",
          "[masquerade][bridge][veth][iptables-nft][ipv6]") {
  check_random_lists(Store::kIptablesNft);
}

TEST_CASE("random lists of networks act as a model says, iptables-legacy",
          "[masquerade][bridge][veth][iptables-legacy][ipv6]") {
  check_random_lists(Store::kIptablesLegacy);
}

TEST_CASE("ten thousand exceptions", "[masquerade][bridge][veth][nftables][many]") {
  MasqueradeNetwork network(Store::kNative);
  Pod& pod = network.add_pod("pod");
  Pod& other = network.add_pod("other");
  const Snapshot before = network.snapshot();
  Texts networks;
  for (int at = 0; at < 10000; ++at) {
    // Every second /29.
    networks.push_back("198.18." + std::to_string(at / 16 % 256) + "." +
                       std::to_string(at % 16 * 16) + "/29");
    if (at >= 4096) {
      networks.back() = "10." + std::to_string(at / 256) + "." + std::to_string(at % 256) + ".0/25";
    }
  }
  network.config["nonMasqueradeCIDRs"] = networks;
  for (Pod* each : {&pod, &other}) {
    network.succeed("ADD", *each);
    network.succeed("CHECK", *each);
    for (const char* at : {"198.18.0.7", "198.18.77.64", "198.18.255.240"}) {
      check_seen(network, *each, {.to = at, .sources = kOwn});
    }
    for (const char* at : {"198.18.0.8", "198.18.77.79", "198.19.0.1"}) {
      check_seen(network, *each, {.to = at, .sources = kHost4});
    }
  }
  for (Pod* each : {&pod, &other}) network.succeed("DEL", *each);
  CHECK(difference(before, network.snapshot()) == "");
}

namespace {

// Sends a TCP segment that answers to nothing (SYN and ACK, RFC 9293), which connection tracking
// cannot place, and returns the source addresses of what of it arrives at lan before a datagram
// that is sent after it.
std::string arrivals(const MasqueradeNetwork& network, const Namespace& from,
                     const std::string& source) {
  const std::string script = R"py(
import ctypes, socket, struct, sys
source, lan, sender_ns = sys.argv[1:]
def enter(path):
    with open(path) as file:
        if ctypes.CDLL(None).setns(file.fileno(), 0x40000000) != 0: sys.exit("setns " + path)
tcp = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_TCP)
tcp.settimeout(5)
udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
udp.bind((lan, 4444))
udp.settimeout(5)
enter(sender_ns)
def checksum(data):
    total = sum(struct.unpack("!%dH" % (len(data) // 2), data))
    while total >> 16: total = (total & 0xffff) + (total >> 16)
    return ~total & 0xffff
segment = struct.pack("!HHIIBBHHH", 3333, 4444, 1, 1, 0x50, 0x12, 1024, 0, 0)
pseudo = socket.inet_aton(source) + socket.inet_aton(lan) + struct.pack("!HH", 6, len(segment))
segment = segment[:16] + struct.pack("!H", checksum(pseudo + segment)) + segment[18:]
raw = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_TCP)
raw.bind((source, 0))
raw.sendto(segment, (lan, 0))
after = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
after.sendto(b"x", (lan, 4444))
udp.recv(10)
tcp.setblocking(False)
try:
    while True:
        data = tcp.recv(100)
        if data[20:24] == segment[:4]: print(socket.inet_ntoa(data[12:16]))
except BlockingIOError:
    pass
)py";
  return run_checked({.argv = {"python3", "-c", script, source, kIpv4.lan, from.path()},
                      .netns = network.net.lan.path()});
}

}  // namespace

TEST_CASE("what connection tracking cannot place does not leave as the pod",
          "[masquerade][bridge][veth][nftables]") {
  MasqueradeNetwork network(Store::kNative);
  Pod& pod = network.add_pod("pod");
  const std::string own = pod.address(kIpv4);
  const auto from_pod = [&] { return arrivals(network, *pod.container, own); };
  const auto in_transit = [&] { return arrivals(network, network.net.far, kIpv4.far); };
  // Connection tracking has to be there already.
  Pod& other = network.add_pod("other");
  network.succeed("ADD", other);
  CHECK(from_pod() == own + "\n");
  CHECK(in_transit() == std::string(kIpv4.far) + "\n");

  SECTION("by default") {
    network.succeed("ADD", pod);
    CHECK(from_pod().empty());
    CHECK(in_transit() == std::string(kIpv4.far) + "\n");
    check_seen(network, pod, {.to = kIpv4.lan, .sources = kHost4});
    network.succeed("DEL", pod);
  }
  SECTION("not if it is not wanted") {
    network.config["dropInvalid"] = false;
    network.succeed("ADD", pod);
  }
  SECTION("only where the pod is masqueraded") {
    network.config["nonMasqueradeCIDRs"] = {"192.0.2.0/24"};
    network.succeed("ADD", pod);
  }
  SECTION("only the way on which the pod is masqueraded") {
    network.config["outInterfaces"] = {"up1"};
    network.succeed("ADD", pod);
  }
  SECTION("not where connection tracking is liberal") {
    network.net.host.run("sysctl -qw net.netfilter.nf_conntrack_tcp_be_liberal=1");
    network.succeed("ADD", pod);
    network.succeed("CHECK", pod);
  }
  CHECK(from_pod() == own + "\n");
}
