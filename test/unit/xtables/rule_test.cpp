#include "xtables/rule.h"

#include <catch2/catch.hpp>
#include <stdexcept>
#include <string>

using Catch::Contains;
using namespace cni::xtables;  // NOLINT(google-build-using-namespace)
using cni::inet::Address;
using cni::inet::Family;
using cni::inet::Network;

namespace {

constexpr std::uint8_t kTcp = 6;
constexpr std::uint8_t kUdp = 17;
constexpr std::uint8_t kSctp = 132;

AddressMatch address(const std::string& text, bool inverted = false) {
  return {.network = *Network::parse(text), .inverted = inverted};
}

}  // namespace

TEST_CASE("rules read like those of iptables-save", "[xtables]") {
  const auto [rule, text] = GENERATE(table<Rule, std::string>({
      {{.source = address("10.0.0.2/24"),
        .protocol = kTcp,
        .destination_ports = PortRange{8080, 8080},
        .target = Jump{"CNI-HOSTPORT-SETMARK"}},
       "-s 10.0.0.0/24 -p tcp -m tcp --dport 8080 -j CNI-HOSTPORT-SETMARK"},
      {{.destination = address("224.0.0.0/4", true), .target = Masquerade{}},
       "! -d 224.0.0.0/4 -j MASQUERADE"},
      {{.source = address("fd00::1/128"),
        .destination = address("fc00::/7", true),
        .in = InterfaceMatch{"eth+"},
        .out = InterfaceMatch{"cni0", true},
        .protocol = kUdp,
        .source_ports = PortRange{1, 2},
        .destination_ports = PortRange{3, 65535},
        .target = Return{}},
       "-s fd00::1/128 ! -d fc00::/7 -i eth+ ! -o cni0 -p udp -m udp --sport 1:2 --dport 3:65535 "
       "-j RETURN"},
      {{.protocol = kSctp, .source_ports = PortRange{7, 7}, .target = Drop{}},
       "-p sctp -m sctp --sport 7 -j DROP"},
      {{.protocol = 58, .target = Accept{}}, "-p ipv6-icmp -j ACCEPT"},
      {{.protocol = 99, .target = Accept{}}, "-p 99 -j ACCEPT"},
      {{.protocol = kTcp,
        .matches = {Comment{"dnat name: \"test\" id: \"it's \\\""}, DestinationPorts{{8080, 8083}}},
        .target = Jump{"CNI-DN-23559223f6409273321f8"}},
       R"(-p tcp -m comment --comment "dnat name: \"test\" id: \"it\'s \\\"" )"
       "-m multiport --dports 8080,8083 -j CNI-DN-23559223f6409273321f8"},
      {{.matches = {Comment{"bare_text-1"}}, .target = Accept{}},
       "-m comment --comment bare_text-1 -j ACCEPT"},
      {{.matches = {Comment{""}}, .target = Accept{}}, "-m comment --comment \"\" -j ACCEPT"},
      {{.matches = {ToLocalAddress{}}, .target = Accept{}},
       "-m addrtype --dst-type LOCAL -j ACCEPT"},
      {{.matches = {MarkMatch{0x2000, 0x2000}}, .target = Accept{}},
       "-m mark --mark 0x2000/0x2000 -j ACCEPT"},
      {{.matches = {MarkMatch{0, 0xffffffff}}, .target = Accept{}}, "-m mark --mark 0x0 -j ACCEPT"},
      {{.matches = {ConntrackState{2 | 4}}, .target = Accept{}},
       "-m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT"},
      {{.matches = {ConntrackState{1 | 8 | 64 | 128 | 256}}, .target = Accept{}},
       "-m conntrack --ctstate INVALID,NEW,UNTRACKED,SNAT,DNAT -j ACCEPT"},
      {{.target = SetMark{0x2000, 0x2000}}, "-j MARK --set-xmark 0x2000/0x2000"},
      {{.target = DestinationNat{*Address::parse("10.0.0.2"), 80}},
       "-j DNAT --to-destination 10.0.0.2:80"},
      {{.target = DestinationNat{*Address::parse("10.0.0.2"), 0}},
       "-j DNAT --to-destination 10.0.0.2"},
      {{.target = DestinationNat{*Address::parse("fd00::2"), 80}},
       "-j DNAT --to-destination [fd00::2]:80"},
      {{.target = DestinationNat{*Address::parse("fd00::2"), 0}},
       "-j DNAT --to-destination fd00::2"},
      {{.target = SourceNat{*Address::parse("10.0.0.2"), *Address::parse("10.0.0.2")}},
       "-j SNAT --to-source 10.0.0.2"},
      {{.target = SourceNat{*Address::parse("10.0.0.2"), *Address::parse("10.0.0.5"), true, true}},
       "-j SNAT --to-source 10.0.0.2-10.0.0.5 --random-fully --persistent"},
      {{.target = Masquerade{.fully_random = true}}, "-j MASQUERADE --random-fully"},
  }));
  CHECK(render(rule) == text);
}

TEST_CASE("a rule knows its jump and its comment", "[xtables]") {
  const Rule rule{.matches = {ToLocalAddress{}, Comment{"one"}, Comment{"two"}},
                  .target = Jump{"CHAIN"}};
  CHECK(rule.jump_target() == "CHAIN");
  CHECK(rule.comment() == "one");
  CHECK(Rule{.target = Accept{}}.jump_target().empty());
  CHECK(Rule{.target = Accept{}}.comment().empty());
}

TEST_CASE("rules that no table takes are refused", "[xtables]") {
  const auto [rule, text] = GENERATE(table<Rule, std::string>({
      {{.source = address("fd00::/8"), .target = Accept{}},
       "a rule of xtables cannot have the address fd00:: in a table of IPv4"},
      {{.destination = address("fd00::/8"), .target = Accept{}}, "address fd00::"},
      {{.source = address("0.0.0.0/0", true), .target = Accept{}},
       "the condition ! 0.0.0.0/0, which no packet meets"},
      {{.in = InterfaceMatch{"sixteen-letters-"}, .target = Accept{}}, "\"sixteen-letters-\""},
      {{.out = InterfaceMatch{""}, .target = Accept{}}, "the interface \"\""},
      {{.out = InterfaceMatch{"+"}, .target = Accept{}}, "the interface \"+\""},
      {{.in = InterfaceMatch{std::string("a\0b", 3)}, .target = Accept{}}, "the interface"},
      {{.source_ports = PortRange{1, 1}, .target = Accept{}}, "ports with protocol 0"},
      {{.protocol = 1, .destination_ports = PortRange{1, 1}, .target = Accept{}},
       "ports with protocol 1"},
      {{.protocol = kTcp, .destination_ports = PortRange{2, 1}, .target = Accept{}},
       "the ports 2:1"},
      {{.matches = {Comment{std::string(256, 'c')}}, .target = Accept{}},
       "a comment of 256 bytes, more than 255"},
      {{.matches = {Comment{std::string("a\0b", 3)}}, .target = Accept{}}, "a NUL"},
      {{.protocol = kTcp, .matches = {DestinationPorts{}}, .target = Accept{}},
       "a list of 0 ports"},
      {{.protocol = kTcp,
        .matches = {DestinationPorts{std::vector<std::uint16_t>(16, 80)}},
        .target = Accept{}},
       "a list of 16 ports"},
      {{.matches = {DestinationPorts{{80}}}, .target = Accept{}}, "ports with protocol 0"},
      {{.target = Jump{""}}, "a jump to chain \"\""},
      {{.target = Jump{std::string(29, 'J')}}, "a jump to chain"},
      {{.target = DestinationNat{*Address::parse("fd00::1"), 1}}, "the address fd00::1"},
      {{.target = SourceNat{*Address::parse("10.0.0.1"), *Address::parse("fd00::1")}},
       "the address fd00::1"},
      {{.target = SourceNat{*Address::parse("fd00::1"), *Address::parse("10.0.0.1")}},
       "the address fd00::1"},
  }));
  INFO(render(rule));
  CHECK_THROWS_AS(require_valid(rule, Family::kIpv4), std::invalid_argument);
  CHECK_THROWS_WITH(require_valid(rule, Family::kIpv4), Contains(text));
}

TEST_CASE("the limits themselves are fine", "[xtables]") {
  const Rule rule{
      .source = address("0.0.0.0/0"),
      .in = InterfaceMatch{"fifteen-letters"},
      .protocol = kSctp,
      .source_ports = PortRange{0, 65535},
      .destination_ports = PortRange{1, 1},
      .matches = {Comment{std::string(255, 'c')},
                  DestinationPorts{std::vector<std::uint16_t>(15, 80)}},
      .target = Jump{std::string(28, 'J')},
  };
  CHECK_NOTHROW(require_valid(rule, Family::kIpv4));
}

TEST_CASE("rules are compared by what they do", "[xtables]") {
  const Rule rule{.source = address("10.0.0.0/24"),
                  .protocol = kTcp,
                  .destination_ports = PortRange{80, 80},
                  .matches = {Comment{"c"}, ToLocalAddress{}},
                  .target = Accept{}};
  Rule other = rule;
  CHECK(same_meaning(rule, other));

  SECTION("what excludes nothing does not count") {
    other.source = address("10.0.0.7/24");
    other.destination = address("0.0.0.0/0");
    other.source_ports = PortRange{0, 65535};
    CHECK(same_meaning(rule, other));
    CHECK(same_meaning(other, rule));
  }
  SECTION("the order of matches does not count") {
    other.matches = {ToLocalAddress{}, Comment{"c"}};
    CHECK(same_meaning(rule, other));
  }
  SECTION("everything else does") {
    const auto change = GENERATE(
        as<void (*)(Rule&)>{}, [](Rule& changed) { changed.source = address("10.0.0.0/25"); },
        [](Rule& changed) { changed.source = address("10.0.0.0/24", true); },
        [](Rule& changed) { changed.source.reset(); },
        [](Rule& changed) { changed.destination = address("10.0.0.0/24"); },
        [](Rule& changed) { changed.destination = address("0.0.0.0/0", true); },
        [](Rule& changed) { changed.in = InterfaceMatch{"a"}; },
        [](Rule& changed) { changed.out = InterfaceMatch{"a"}; },
        [](Rule& changed) { changed.protocol = kUdp; },
        [](Rule& changed) { changed.source_ports = PortRange{1, 1}; },
        [](Rule& changed) { changed.destination_ports = PortRange{80, 81}; },
        [](Rule& changed) { changed.matches = {Comment{"d"}, ToLocalAddress{}}; },
        [](Rule& changed) { changed.matches = {Comment{"c"}}; },
        [](Rule& changed) { changed.target = Drop{}; });
    change(other);
    INFO(render(other));
    CHECK_FALSE(same_meaning(rule, other));
  }
}
