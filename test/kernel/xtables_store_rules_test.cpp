// Rules in every store of xtables rules: what is written is what the tools of that store know, and
// what they write is read.
#include <algorithm>
#include <catch2/catch.hpp>
#include <string>
#include <vector>

#include "kernel/xtables_bench.h"
#include "xtables/table.h"

using Catch::Contains;
using namespace cni::xtables;  // NOLINT(google-build-using-namespace)
using cni::inet::Address;
using cni::inet::Family;
using cni::inet::Network;
using cni::test::Bench;
using cni::test::commented;
using cni::test::TestedStore;

namespace {

constexpr std::uint8_t kTcp = 6;
constexpr std::uint8_t kUdp = 17;
constexpr std::uint8_t kSctp = 132;

// Every kind of condition and target (but DROP, which table nat is not for), alone and as our
// recipes put them together. They go to a chain "TEST" that may jump to "OTHER".
std::vector<Rule> all_kinds(Family family) {
  const bool ipv4 = family == Family::kIpv4;
  const auto address = [&](const char* four, const char* six) {
    return *Address::parse(ipv4 ? four : six);
  };
  const auto network = [&](const char* four, const char* six) {
    return *Network::parse(ipv4 ? four : six);
  };
  const Address host = address("10.0.0.2", "fd00::2");
  const Network whole_bytes = network("10.1.2.0/24", "fd00:1:2::/64");
  const Network odd = network("224.0.0.0/4", "fc00::/7");
  const Rule ports{
      .protocol = kTcp, .destination_ports = PortRange{8080, 8080}, .target = Accept{}};
  const auto with_protocol = [](Rule rule, std::uint8_t protocol) {
    rule.protocol = protocol;
    return rule;
  };
  return {
      {.target = Accept{}},
      {.target = Return{}},
      {.target = Jump{"OTHER"}},
      {.target = SetMark{0x2000, 0x2000}},
      {.target = SetMark{0x1, 0xffffffff}},
      {.protocol = kTcp, .target = DestinationNat{host, 80}},
      {.protocol = kUdp, .target = DestinationNat{host, 53}},
      {.protocol = kSctp, .target = DestinationNat{host, 80}},
      {.target = DestinationNat{host, 0}},
      {.target = SourceNat{host, host}},
      {.target = SourceNat{host, host.next(), true, false}},
      {.target = SourceNat{host, host, false, true}},
      {.target = Masquerade{}},
      {.target = Masquerade{.fully_random = true}},
      {.source = AddressMatch{Network::host(host)}, .target = Jump{"OTHER"}},
      {.source = AddressMatch{whole_bytes}, .target = Accept{}},
      {.source = AddressMatch{odd, true}, .target = Accept{}},
      {.destination = AddressMatch{Network::host(host), true}, .target = Accept{}},
      {.destination = AddressMatch{whole_bytes, true}, .target = Accept{}},
      {.destination = AddressMatch{odd}, .target = Accept{}},
      {.destination = AddressMatch{network("128.0.0.0/1", "8000::/1")}, .target = Accept{}},
      {.destination = AddressMatch{network("10.1.2.2/31", "fd00::2/127")}, .target = Accept{}},
      {.destination = AddressMatch{odd, true},
       .matches = {Comment{"name: \"net1\" id: \"cont1\""}},
       .target = Masquerade{}},
      {.in = InterfaceMatch{"cni0"},
       .out = InterfaceMatch{"cni0", true},
       .matches = {Comment{"CNI isolation"}},
       .target = Jump{"OTHER"}},
      {.in = InterfaceMatch{"eth+", true}, .out = InterfaceMatch{"veth+"}, .target = Return{}},
      {.in = InterfaceMatch{"fifteen-letters"}, .target = Return{}},
      ports,
      with_protocol(ports, kUdp),
      with_protocol(ports, kSctp),
      {.protocol = kTcp, .source_ports = PortRange{7, 7}, .target = Accept{}},
      {.protocol = kUdp,
       .source_ports = PortRange{7, 7},
       .destination_ports = PortRange{8, 8},
       .target = Accept{}},
      {.protocol = kTcp,
       .source_ports = PortRange{7, 9},
       .destination_ports = PortRange{8, 8},
       .target = Accept{}},
      {.protocol = kUdp, .destination_ports = PortRange{1024, 65535}, .target = Accept{}},
      {.protocol = kTcp, .destination_ports = PortRange{0, 0}, .target = Accept{}},
      {.protocol = kSctp,
       .source_ports = PortRange{1, 2},
       .destination_ports = PortRange{3, 4},
       .target = Accept{}},
      {.source = AddressMatch{whole_bytes},
       .destination = AddressMatch{Network::host(host)},
       .protocol = kTcp,
       .destination_ports = PortRange{8083, 8083},
       .target = Jump{"OTHER"}},
      {.protocol = 47, .target = Accept{}},
      commented("one two"),
      commented(std::string(255, 'x')),
      commented("CNI portfwd masquerade mark", SetMark{0x2000, 0x2000}),
      {.matches = {ToLocalAddress{}}, .target = Jump{"OTHER"}},
      {.protocol = kTcp,
       .matches = {Comment{"dnat name: \"test\" id: \"cid0001\""}, DestinationPorts{{8080, 8083}}},
       .target = Jump{"OTHER"}},
      {.protocol = kSctp,
       .matches = {DestinationPorts{{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15}}},
       .target = Accept{}},
      {.source = AddressMatch{whole_bytes},
       .protocol = kUdp,
       .matches = {Comment{"c"}, DestinationPorts{{53}}},
       .target = Jump{"OTHER"}},
      {.matches = {MarkMatch{0x2000, 0x2000}}, .target = Masquerade{}},
      {.matches = {MarkMatch{5, 0xffffffff}}, .target = Accept{}},
      {.matches = {MarkMatch{0, 0x4000}}, .target = Accept{}},
      {.destination = AddressMatch{Network::host(host)},
       .matches = {ConntrackState{2 | 4}},
       .target = Accept{}},
      {.matches = {ConntrackState{1}}, .target = Return{}},
  };
}

void writes_what_tools_know(Bench& bench) {
  const std::vector<Rule> rules = all_kinds(bench.family());
  bench.change([&](Table& table) {
    table.ensure_chain("TEST");
    table.ensure_chain("OTHER");
    for (const Rule& rule : rules) table.append("TEST", rule);
  });

  std::vector<std::string> expected;
  for (const Rule& rule : rules) expected.push_back(render(rule));
  CHECK(bench.listed("TEST") == expected);

  const auto table = bench.find();
  REQUIRE(table != nullptr);
  REQUIRE(table->rules("TEST").size() == rules.size());
  for (std::size_t i = 0; i < rules.size(); ++i) {
    INFO(render(rules[i]));
    const StoredRule& stored = table->rules("TEST")[i];
    CHECK(stored.rule == rules[i]);
    CHECK(stored.jump_target == rules[i].jump_target());
    CHECK(stored.comment == rules[i].comment());
    CHECK(bench.try_tool("-t nat -C TEST " + render(rules[i])).status == 0);
  }
  // From the end, so that each is found by its content and not as the first one.
  for (auto rule = rules.rbegin(); rule != rules.rend(); ++rule) {
    INFO(render(*rule));
    CHECK(bench.try_tool("-t nat -D TEST " + render(*rule)).status == 0);
  }
  CHECK(bench.listed("TEST").empty());
}

void reads_what_tools_write(Bench& bench) {
  bench.tool("-t nat -N TEST");
  bench.tool("-t nat -N OTHER");
  const std::vector<Rule> rules = all_kinds(bench.family());
  for (const Rule& rule : rules) bench.tool("-t nat -A TEST " + render(rule));

  const auto table = bench.find();
  REQUIRE(table != nullptr);
  REQUIRE(table->rules("TEST").size() == rules.size());
  for (std::size_t i = 0; i < rules.size(); ++i) {
    INFO(render(rules[i]));
    CHECK(table->rules("TEST")[i].rule == rules[i]);
  }
  const auto chains = table->chains();
  CHECK(std::ranges::is_permutation(chains, std::vector<std::string>{"TEST", "OTHER"}));

  // Nothing is added that is there.
  bench.change([&](Table& changed) {
    for (const Rule& rule : rules) CHECK_FALSE(changed.ensure_appended("TEST", rule));
    CHECK_FALSE(changed.changed());
  });
}

void leaves_foreign_rules_alone(Bench& bench) {
  bench.tool("-t nat -N TEST");
  bench.tool("-t nat -N OTHER");
  const std::vector<std::string> foreign = {
      "-m limit --limit 5/min -m comment --comment \"not ours\" -j OTHER",
      "-p tcp -m tcp --dport 80 --tcp-flags FIN,SYN,RST,ACK SYN -j ACCEPT",
      "! -p tcp -j ACCEPT",
      "-p tcp -m tcp ! --dport 80 -j ACCEPT",
      "-m mark ! --mark 0x1 -j ACCEPT",
      "-m addrtype --src-type LOCAL -j ACCEPT",
      "-p tcp -m multiport --dports 1:2 -j ACCEPT",
      "-p tcp -j REDIRECT --to-ports 80",
      "-p tcp -j MASQUERADE --to-ports 80-90",
      "-m comment --comment \"no target\"",
      "-g OTHER",
  };
  for (const std::string& rule : foreign) bench.tool("-t nat -A TEST " + rule);
  bench.tool("-t nat -A TEST -c 5 7 -m comment --comment counted -j ACCEPT");
  const auto before = bench.listed("TEST");
  REQUIRE(before.size() == foreign.size() + 1);
  const bool can_count = bench.tool("-c -t nat", "-save").find("[5:7]") != std::string::npos;
  const std::string counted =
      std::string(can_count ? "[5:7]" : "[0:0]") + " -A TEST -m comment --comment counted";

  const auto table = bench.find();
  for (std::size_t i = 0; i < foreign.size(); ++i) {
    INFO(foreign[i]);
    CHECK_FALSE(table->rules("TEST").at(i).rule.has_value());
  }
  CHECK(table->rules("TEST")[0].comment == "not ours");
  CHECK(table->rules("TEST")[0].jump_target == "OTHER");
  CHECK(table->rules("TEST")[foreign.size() - 1].jump_target == "OTHER");
  CHECK(table->rules("TEST")[1].jump_target.empty());

  bench.change([](Table& changed) {
    changed.insert("TEST", 3, commented("ours"));
    changed.insert("TEST", 0, commented("first"));
    changed.append("TEST", commented("last"));
  });
  auto expected = before;
  expected.insert(expected.begin() + 3, "-m comment --comment ours -j ACCEPT");
  expected.insert(expected.begin(), "-m comment --comment first -j ACCEPT");
  expected.push_back("-m comment --comment last -j ACCEPT");
  CHECK(bench.listed("TEST") == expected);

  // Their counters go on (ip6tables-nft 1.8.9 cannot set any).
  CHECK_THAT(bench.tool("-c -t nat", "-save"), Contains(counted));

  bench.change([](Table& changed) {
    CHECK(changed.erase_if("TEST", [](const StoredRule& stored) {
      return stored.rule.has_value() && stored.comment != "counted";
    }) == 3);
  });
  CHECK(bench.listed("TEST") == before);
}

void test_rules(const TestedStore& tested) {
  const Family family = GENERATE(Family::kIpv4, Family::kIpv6);
  INFO(name(family));
  Bench bench(tested, family);
  SECTION("writes what the tools know") {
    writes_what_tools_know(bench);
  }
  SECTION("reads what the tools write") {
    reads_what_tools_write(bench);
  }
  SECTION("leaves foreign rules alone") {
    leaves_foreign_rules_alone(bench);
  }
}

}  // namespace

TEST_CASE("the iptables dialect of nf_tables holds every kind of rule",
          "[xtables][iptables-nft][ipv6]") {
  test_rules(cni::test::kDialectStore);
}

TEST_CASE("the legacy tables hold every kind of rule", "[xtables][iptables-legacy][ipv6]") {
  test_rules(cni::test::kLegacyStore);
}
