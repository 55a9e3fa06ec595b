// Rules in the legacy tables, byte for byte as iptables-legacy has them.
#include <linux/netfilter_ipv4/ip_tables.h>
#include <linux/netfilter_ipv6/ip6_tables.h>
#include <sys/socket.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <cstddef>
#include <string>
#include <vector>

#include "base/error.h"
#include "kernel/xtables_bench.h"
#include "support/sandbox.h"
#include "support/two_namespaces.h"
#include "xtables/table.h"

using namespace cni::xtables;  // NOLINT(google-build-using-namespace)
using Catch::Matchers::Contains;
using cni::inet::Address;
using cni::inet::Family;
using cni::inet::Network;
using cni::test::Host;
using cni::test::Inside;
using cni::test::lines;
using cni::test::run_checked;

namespace {

std::string tool(Family family, const std::string& suffix = "") {
  return (family == Family::kIpv4 ? "iptables-legacy" : "ip6tables-legacy") + suffix;
}

AddressMatch in_network(const std::string& text, bool inverted = false) {
  return {.network = Network::parse(text).value(), .inverted = inverted};
}

Address address(const std::string& text) {
  return Address::parse(text).value();
}

// Everything the kernel holds of a table, as it holds it.
template <typename GetInfo, typename GetEntries>
std::vector<std::byte> read_blob(int domain, int level, const std::string& table) {
  const int fd = ::socket(domain, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_RAW);
  GetInfo info{};
  table.copy(info.name, sizeof info.name - 1);
  socklen_t size = sizeof info;
  bool read = ::getsockopt(fd, level, IPT_SO_GET_INFO, &info, &size) == 0;
  size = static_cast<socklen_t>(sizeof(GetEntries) + info.size);
  std::vector<std::byte> bytes(size);
  auto* entries = reinterpret_cast<GetEntries*>(bytes.data());
  table.copy(entries->name, sizeof entries->name - 1);
  entries->size = info.size;
  read = read && ::getsockopt(fd, level, IPT_SO_GET_ENTRIES, entries, &size) == 0;
  ::close(fd);
  if (!read) cni::throw_errno("read table " + table);
  return bytes;
}

std::vector<std::byte> read_blob(Family family, const std::string& table) {
  static_assert(IPT_SO_GET_INFO == IP6T_SO_GET_INFO && IPT_SO_GET_ENTRIES == IP6T_SO_GET_ENTRIES);
  if (family == Family::kIpv4) {
    return read_blob<ipt_getinfo, ipt_get_entries>(AF_INET, IPPROTO_IP, table);
  }
  return read_blob<ip6t_getinfo, ip6t_get_entries>(AF_INET6, IPPROTO_IPV6, table);
}

// A rule of ours, and how iptables-save writes it. X is a chain.
struct Pair {
  Family family;
  std::string table;
  std::string chain;
  std::string text;
  Rule rule;
};

std::vector<Pair> pairs() {
  const Comment entry{R"(dnat name: "test" id: "cid0001")"};
  constexpr auto k4 = Family::kIpv4;
  constexpr auto k6 = Family::kIpv6;
  return {
      {k4,
       "nat",
       "PREROUTING",
       R"(-p tcp -m comment --comment "dnat name: \"test\" id: \"cid0001\"" -m multiport --dports 8080,8083 -j X)",
       {.protocol = IPPROTO_TCP,
        .matches = {entry, DestinationPorts{{8080, 8083}}},
        .target = Jump{"X"}}},
      {k4,
       "nat",
       "X",
       "-s 10.0.0.0/24 -d 192.168.0.2/32 -p tcp -m tcp --dport 8080 -j RETURN",
       {.source = in_network("10.0.0.0/24"),
        .destination = in_network("192.168.0.2/32"),
        .protocol = IPPROTO_TCP,
        .destination_ports = PortRange{8080, 8080},
        .target = Return{}}},
      {k4,
       "nat",
       "X",
       "-p udp -m udp --sport 5:6 --dport 53 -j DNAT --to-destination 10.0.0.2:80",
       {.protocol = IPPROTO_UDP,
        .source_ports = PortRange{5, 6},
        .destination_ports = PortRange{53, 53},
        .target = DestinationNat{address("10.0.0.2"), 80}}},
      {k4,
       "nat",
       "X",
       "-p sctp -m sctp --dport 9 -j DNAT --to-destination 10.0.0.2:90",
       {.protocol = IPPROTO_SCTP,
        .destination_ports = PortRange{9, 9},
        .target = DestinationNat{address("10.0.0.2"), 90}}},
      {k4,
       "nat",
       "X",
       "-m comment --comment mark -j MARK --set-xmark 0x2000/0x2000",
       {.matches = {Comment{"mark"}}, .target = SetMark{0x2000, 0x2000}}},
      {k4,
       "nat",
       "POSTROUTING",
       "-m mark --mark 0x2000/0x2000 -j MASQUERADE",
       {.matches = {MarkMatch{0x2000, 0x2000}}, .target = Masquerade{}}},
      {k4,
       "nat",
       "POSTROUTING",
       "! -d 224.0.0.0/4 -m comment --comment out -j MASQUERADE --random-fully",
       {.destination = in_network("224.0.0.0/4", true),
        .matches = {Comment{"out"}},
        .target = Masquerade{.fully_random = true}}},
      {k4,
       "nat",
       "POSTROUTING",
       "-s 10.0.0.0/23 -o eth+ -j SNAT --to-source 192.0.2.1-192.0.2.9 --random-fully --persistent",
       {.source = in_network("10.0.0.0/23"),
        .out = InterfaceMatch{"eth+"},
        .target = SourceNat{.first = address("192.0.2.1"),
                            .last = address("192.0.2.9"),
                            .fully_random = true,
                            .persistent = true}}},
      {k4,
       "nat",
       "OUTPUT",
       "-m addrtype --dst-type LOCAL -j X",
       {.matches = {ToLocalAddress{}}, .target = Jump{"X"}}},
      {k4,
       "filter",
       "FORWARD",
       "-d 10.0.0.2/32 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT",
       {.destination = in_network("10.0.0.2/32"),
        .matches = {ConntrackState{6}},
        .target = Accept{}}},
      {k4,
       "filter",
       "FORWARD",
       "-i cni0 ! -o cni0 -m comment --comment stage -j X",
       {.in = InterfaceMatch{"cni0"},
        .out = InterfaceMatch{"cni0", true},
        .matches = {Comment{"stage"}},
        .target = Jump{"X"}}},
      {k4,
       "filter",
       "INPUT",
       "! -s 127.0.0.0/8 ! -i lo -p tcp -j DROP",
       {.source = in_network("127.0.0.0/8", true),
        .in = InterfaceMatch{"lo", true},
        .protocol = IPPROTO_TCP,
        .target = Drop{}}},
      {k6,
       "nat",
       "X",
       "-s fd00::/64 -d 2001:db8::1/128 -p tcp -m tcp --dport 8080 -j DNAT --to-destination "
       "[fd00::2]:80",
       {.source = in_network("fd00::/64"),
        .destination = in_network("2001:db8::1/128"),
        .protocol = IPPROTO_TCP,
        .destination_ports = PortRange{8080, 8080},
        .target = DestinationNat{address("fd00::2"), 80}}},
      {k6,
       "nat",
       "PREROUTING",
       "-p sctp -m sctp --dport 9 -j X",
       {.protocol = IPPROTO_SCTP, .destination_ports = PortRange{9, 9}, .target = Jump{"X"}}},
      {k6,
       "nat",
       "PREROUTING",
       R"(-p udp -m comment --comment "dnat name: \"test\" id: \"cid0001\"" -m multiport --dports 53 -j X)",
       {.protocol = IPPROTO_UDP, .matches = {entry, DestinationPorts{{53}}}, .target = Jump{"X"}}},
      {k6,
       "nat",
       "POSTROUTING",
       "! -d ff00::/8 -m comment --comment out -j MASQUERADE",
       {.destination = in_network("ff00::/8", true),
        .matches = {Comment{"out"}},
        .target = Masquerade{}}},
      {k6,
       "nat",
       "POSTROUTING",
       "-o eth0 -j SNAT --to-source fd00::1",
       {.out = InterfaceMatch{"eth0"},
        .target = SourceNat{address("fd00::1"), address("fd00::1")}}},
      {k6,
       "filter",
       "FORWARD",
       "-i cni0 ! -o cni0 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT",
       {.in = InterfaceMatch{"cni0"},
        .out = InterfaceMatch{"cni0", true},
        .matches = {ConntrackState{6}},
        .target = Accept{}}},
  };
}

void restore(Family family, const std::string& table, const std::string& lines) {
  run_checked({.argv = {tool(family, "-restore")},
               .input = "*" + table + "\n:X - [0:0]\n" + lines + "COMMIT\n"});
}

}  // namespace

TEST_CASE("rules are written byte for byte as iptables-legacy writes them",
          "[xtables][legacy][iptables-legacy][ipv6]") {
  for (const Pair& pair : pairs()) {
    INFO(pair.table << " -A " << pair.chain << " " << pair.text);
    Host theirs;
    Host ours;
    std::vector<std::byte> expected;
    {
      const Inside inside(theirs);
      restore(pair.family, pair.table, "-A " + pair.chain + " " + pair.text + "\n");
      expected = read_blob(pair.family, pair.table);
      const auto table = open_legacy()->find(pair.family, pair.table);
      REQUIRE(table);
      CHECK(lines(*table, pair.chain) == std::vector{pair.text});
      CHECK(table->has_rule(pair.chain, pair.rule));
    }
    const Inside inside(ours);
    open_legacy()->change(pair.family, pair.table, [&](Table& table) {
      table.ensure_chain("X");
      table.append(pair.chain, pair.rule);
    });
    CHECK(read_blob(pair.family, pair.table) == expected);
    CHECK_THAT(run_checked({.argv = {tool(pair.family, "-save")}}),
               Contains("-A " + pair.chain + " " + pair.text + "\n"));
  }
}

TEST_CASE("a rule that the model has no words for keeps its place, its jump and its comment",
          "[xtables][legacy][iptables-legacy][ipv6]") {
  for (const Family family : {Family::kIpv4, Family::kIpv6}) {
    Host host;
    const Inside inside(host);
    restore(family, "filter",
            "-A FORWARD -m comment --comment first -m limit --limit 1/sec -j X\n"
            "-A FORWARD -g X\n"
            "-A FORWARD ! -p tcp -j X\n"
            "-A FORWARD -p tcp -m tcp --tcp-flags SYN SYN -m comment --comment second -j ACCEPT\n"
            "-A FORWARD -m comment --comment third\n"
            "-A FORWARD -j LOG\n"
            "-A FORWARD -j X\n");
    const auto table = open_legacy()->find(family, "filter");
    REQUIRE(table);
    CHECK(lines(*table, "FORWARD") ==
          std::vector<std::string>{"?", "?", "?", "?", "?", "?", "-j X"});
    std::vector<std::string> targets;
    std::vector<std::string> comments;
    for (const StoredRule& stored : table->rules("FORWARD")) {
      targets.push_back(stored.jump_target);
      comments.push_back(stored.comment);
    }
    CHECK(targets == std::vector<std::string>{"X", "X", "X", "", "", "", "X"});
    CHECK(comments == std::vector<std::string>{"first", "", "", "second", "third", "", ""});
  }
}
