// What is special about rules of xtables in nf_tables; what they have in common with the legacy
// tables stands in xtables_store_test.cpp.
#include <catch2/catch.hpp>
#include <memory>
#include <string>
#include <vector>

#include "base/error.h"
#include "kernel/xtables_bench.h"
#include "nftables/nftables_socket.h"
#include "support/sandbox.h"
#include "support/snapshot.h"
#include "support/two_namespaces.h"
#include "xtables/dialect_rule.h"
#include "xtables/table.h"

using Catch::Contains;
using namespace cni::xtables;  // NOLINT(google-build-using-namespace)
using cni::inet::Address;
using cni::inet::Family;
using cni::inet::Network;
using cni::test::commented;
using cni::test::Host;
using cni::test::Inside;
using cni::test::run_checked;
using cni::test::Snapshot;

namespace {

constexpr std::uint8_t kTcp = 6;
constexpr std::uint8_t kSctp = 132;

const cni::nftables::TableId kNat{.family = cni::nftables::Family::kIp4, .name = "nat"};

// What a shell prints for `command` in the namespace of this thread.
std::string shell(const std::string& command) {
  return run_checked({.argv = {"sh", "-c", command}});
}

std::vector<std::string> listed(const std::string& chain) {
  std::vector<std::string> lines;
  std::string text = shell("iptables-nft -t nat -S " + chain);
  const std::string prefix = "-A " + chain + " ";
  for (std::size_t end = 0; (end = text.find('\n')) != std::string::npos; text.erase(0, end + 1)) {
    if (text.starts_with(prefix)) lines.push_back(text.substr(prefix.size(), end - prefix.size()));
  }
  return lines;
}

// One line per expression but the counter, whose attributes change.
std::string text_of(const cni::nftables::Rule& rule) {
  std::string text;
  for (const auto& expression : rule.expressions) {
    text += expression.name;
    if (expression.name != "counter") {
      text += " ";
      for (const std::byte byte : expression.attributes) {
        constexpr std::string_view kDigits = "0123456789abcdef";
        text += kDigits[std::to_integer<unsigned>(byte) >> 4U];
        text += kDigits[std::to_integer<unsigned>(byte) & 15U];
      }
    }
    text += "\n";
  }
  return text;
}

}  // namespace

TEST_CASE("rules are byte for byte what iptables-nft writes", "[xtables][iptables-nft]") {
  const Host host;
  const Inside inside(host);
  const Rule rule = GENERATE(values<Rule>({
      {.protocol = kTcp,
       .matches = {Comment{"dnat name: \"test\" id: \"cid0001\""}, DestinationPorts{{8080, 8083}}},
       .target = Jump{"TEST"}},
      {.source = AddressMatch{*Network::parse("10.0.0.0/24")},
       .protocol = kTcp,
       .destination_ports = PortRange{8080, 8080},
       .target = Jump{"TEST"}},
      {.protocol = kTcp,
       .source_ports = PortRange{1, 1},
       .destination_ports = PortRange{8080, 8081},
       .target = DestinationNat{*Address::parse("10.0.0.2"), 80}},
      {.protocol = kTcp,
       .source_ports = PortRange{1, 1},
       .destination_ports = PortRange{8080, 8080},
       .target = Return{}},
      {.protocol = kSctp, .destination_ports = PortRange{80, 80}, .target = Accept{}},
      {.matches = {Comment{"CNI portfwd masquerade mark"}}, .target = SetMark{0x2000, 0x2000}},
      {.matches = {MarkMatch{0x2000, 0x2000}}, .target = Masquerade{}},
      {.matches = {MarkMatch{1, 0xffffffff}}, .target = Masquerade{.fully_random = true}},
      {.matches = {ToLocalAddress{}}, .target = Jump{"TEST"}},
      {.destination = AddressMatch{*Network::parse("10.0.0.2/32")},
       .matches = {ConntrackState{2 | 4}},
       .target = Accept{}},
      {.in = InterfaceMatch{"cni0"},
       .out = InterfaceMatch{"cni0", true},
       .matches = {Comment{"CNI"}},
       .target = Jump{"TEST"}},
      {.in = InterfaceMatch{"eth+"}, .target = Return{}},
      {.destination = AddressMatch{*Network::parse("224.0.0.0/4"), true},
       .matches = {Comment{"name: \"net1\" id: \"cont1\""}},
       .target = Masquerade{}},
      {.target = SourceNat{*Address::parse("10.0.0.2"), *Address::parse("10.0.0.5"), true, true}},
  }));
  INFO(render(rule));
  open_dialect()->change(Family::kIpv4, "nat", [&](Table& table) {
    table.ensure_chain("TEST");
    table.ensure_chain("OURS");
    table.append("OURS", rule);
  });
  shell("iptables-nft -t nat -N THEIRS && iptables-nft -t nat -A THEIRS " + render(rule));
  auto socket = cni::nftables::Socket::here();
  const auto ours = socket.list_rules(kNat, "OURS");
  const auto theirs = socket.list_rules(kNat, "THEIRS");
  REQUIRE(ours.size() == 1);
  REQUIRE(theirs.size() == 1);
  CHECK(text_of(ours[0]) == text_of(theirs[0]));
  CHECK(ours[0].user_data == theirs[0].user_data);
}

TEST_CASE("only what is needed is made", "[xtables][iptables-nft]") {
  const Host host;
  const Inside inside(host);
  open_dialect()->change(Family::kIpv4, "nat",
                         [](Table& table) { table.append("POSTROUTING", {.target = Accept{}}); });
  CHECK(shell("nft --stateless list ruleset 2>/dev/null") ==
        "table ip nat {\n"
        "\tchain POSTROUTING {\n"
        "\t\ttype nat hook postrouting priority srcnat; policy accept;\n"
        "\t\tcounter accept\n"
        "\t}\n"
        "}\n");
  open_dialect()->change(Family::kIpv6, "nat", [](Table& table) { table.ensure_chain("USER"); });
  CHECK(shell("nft --stateless list table ip6 nat 2>/dev/null") ==
        "table ip6 nat {\n"
        "\tchain USER {\n"
        "\t}\n"
        "}\n");
}

TEST_CASE("tables of others are not touched", "[xtables][iptables-nft]") {
  const Host host;
  const Inside inside(host);
  shell(
      "nft add table inet nat && nft add chain inet nat POSTROUTING && "
      "nft add rule inet nat POSTROUTING counter drop && "
      "iptables-nft -A FORWARD -j DROP && ip6tables-nft -t nat -A POSTROUTING -j MASQUERADE");
  const Snapshot before = Snapshot::take("");
  open_dialect()->change(Family::kIpv4, "nat", [](Table& table) {
    CHECK_FALSE(table.has_chain("POSTROUTING"));
    table.ensure_chain("USER");
    table.append("POSTROUTING", {.target = Jump{"USER"}});
  });
  CHECK(open_dialect()->find(Family::kIpv4, "nat")->rules("POSTROUTING").size() == 1);
  open_dialect()->change(Family::kIpv4, "nat", [](Table& table) {
    CHECK(table.delete_chain_if_exists("USER", {"POSTROUTING"}));
  });
  shell("nft delete table ip nat");
  CHECK(difference(before, Snapshot::take("")) == "");
}

TEST_CASE("native expressions and comments of newer tools are understood",
          "[xtables][iptables-nft][nftables]") {
  const auto [native, rule] = GENERATE(table<std::string, Rule>({
      {"tcp dport 80 counter dnat to 10.0.0.2:8080",
       {.protocol = kTcp,
        .destination_ports = PortRange{80, 80},
        .target = DestinationNat{*Address::parse("10.0.0.2"), 8080}}},
      {"meta l4proto tcp dnat to 10.0.0.2",
       {.protocol = kTcp, .target = DestinationNat{*Address::parse("10.0.0.2"), 0}}},
      {"ip protocol tcp accept", {.protocol = kTcp, .target = Accept{}}},
      {"snat to 10.0.0.2",
       {.target = SourceNat{*Address::parse("10.0.0.2"), *Address::parse("10.0.0.2")}}},
      {"snat to 10.0.0.2-10.0.0.5 fully-random,persistent",
       {.target = SourceNat{*Address::parse("10.0.0.2"), *Address::parse("10.0.0.5"), true, true}}},
      {"masquerade", {.target = Masquerade{}}},
      {"masquerade fully-random", {.target = Masquerade{.fully_random = true}}},
      {"meta mark set 0x2000", {.target = SetMark{0x2000, 0xffffffff}}},
      {"meta mark set meta mark and 0xffffdfff xor 0x2000", {.target = SetMark{0x2000, 0x2000}}},
      {"meta mark and 0x2000 == 0x2000 masquerade",
       {.matches = {MarkMatch{0x2000, 0x2000}}, .target = Masquerade{}}},
      {"meta mark 0x5 accept", {.matches = {MarkMatch{5, 0xffffffff}}, .target = Accept{}}},
      {"ip daddr 10.0.0.0/9 accept comment \"in user data\"",
       {.destination = AddressMatch{*Network::parse("10.0.0.0/9")},
        .matches = {Comment{"in user data"}},
        .target = Accept{}}},
      {"iifname cni0 jump OTHER", {.in = InterfaceMatch{"cni0"}, .target = Jump{"OTHER"}}},
  }));
  const Host host;
  const Inside inside(host);
  shell(
      "iptables-nft -t nat -N TEST && iptables-nft -t nat -N OTHER && nft 'add rule ip nat TEST " +
      native + "'");
  const auto table = open_dialect()->find(Family::kIpv4, "nat");
  INFO(native);
  REQUIRE(table->rules("TEST").size() == 1);
  const StoredRule& stored = table->rules("TEST")[0];
  REQUIRE(stored.rule.has_value());
  CHECK(render(*stored.rule) == render(rule));
  CHECK(stored.rule == rule);
  CHECK(stored.comment == rule.comment());
}

TEST_CASE("native expressions without words in iptables are not understood",
          "[xtables][iptables-nft][nftables]") {
  const std::string native = GENERATE(
      as<std::string>{}, "tcp dport { 80, 81 } accept", "tcp dport != 80 accept",
      "tcp dport 80 dnat to 10.0.0.2-10.0.0.3", "tcp dport 80 redirect to 81",
      "meta l4proto tcp masquerade to :80-90", "masquerade random",
      "tcp dport 80 dnat to 10.0.0.2:80-90", "meta l4proto tcp snat to 10.0.0.2:80",
      "snat to 10.0.0.2 random", "ip saddr 10.0.0.1-10.0.0.2 accept",
      "ip saddr & 255.0.255.0 == 10.0.1.0 accept", "ip ttl 3 accept", "meta mark != 3 accept",
      "ip protocol != tcp accept", "ct state new accept", "ct mark set 3", "log",
      "ip saddr 10.0.0.1 ip saddr 10.0.0.2 accept", "iifname a iifname b accept", "iif lo accept",
      "meta mark set ct mark", "meta priority set 3", "counter");
  const Host host;
  const Inside inside(host);
  shell("iptables-nft -t nat -N TEST && nft 'add rule ip nat TEST " + native + "'");
  const auto table = open_dialect()->find(Family::kIpv4, "nat");
  INFO(native);
  REQUIRE(table->rules("TEST").size() == 1);
  if (table->rules("TEST")[0].rule) UNSCOPED_INFO(render(*table->rules("TEST")[0].rule));
  CHECK_FALSE(table->rules("TEST")[0].rule.has_value());
}

TEST_CASE("a change starts anew if somebody else is faster", "[xtables][iptables-nft]") {
  const Host host;
  const Inside inside(host);
  int calls = 0;
  open_dialect()->change(Family::kIpv4, "nat", [&](Table& table) {
    if (++calls == 1)
      shell("iptables-nft -t nat -A POSTROUTING -m comment --comment theirs -j ACCEPT");
    table.ensure_first("POSTROUTING", commented("ours"));
  });
  CHECK(calls == 2);
  CHECK(listed("POSTROUTING") == std::vector<std::string>{"-m comment --comment ours -j ACCEPT",
                                                          "-m comment --comment theirs -j ACCEPT"});

  // Not if there is nothing to change.
  calls = 0;
  open_dialect()->change(Family::kIpv4, "nat", [&](Table& table) {
    ++calls;
    shell("iptables-nft -t nat -A POSTROUTING -j ACCEPT");
    table.ensure_first("POSTROUTING", commented("ours"));
  });
  CHECK(calls == 1);
}
