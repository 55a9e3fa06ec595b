#include "xtables/extension.h"

#include <catch2/catch.hpp>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/text.h"

using namespace cni::xtables;  // NOLINT(google-build-using-namespace)
using cni::inet::Address;
using cni::inet::Family;

// The bytes are those of a little-endian machine; network order is network order everywhere.

namespace {

using Bytes = std::vector<std::byte>;

constexpr std::uint8_t kTcp = 6;
constexpr std::uint8_t kUdp = 17;
constexpr std::uint8_t kSctp = 132;

// `size` zeros with some bytes in hexadecimal written over them.
Bytes zeros_but(std::size_t size,
                const std::vector<std::pair<std::size_t, std::string_view>>& patches = {}) {
  Bytes bytes(size);
  for (const auto& [offset, hex] : patches) {
    for (std::size_t i = 0; i < hex.size(); i += 2) {
      bytes.at(offset + i / 2) =
          static_cast<std::byte>(std::stoi(std::string(hex.substr(i, 2)), nullptr, 16));
    }
  }
  return bytes;
}

Bytes text_info(std::size_t size, std::string_view text) {
  Bytes bytes(size);
  for (std::size_t i = 0; i < text.size(); ++i) bytes.at(i) = static_cast<std::byte>(text[i]);
  return bytes;
}

Rule ports(std::uint8_t protocol, std::optional<PortRange> source,
           std::optional<PortRange> destination) {
  return {.protocol = protocol,
          .source_ports = source,
          .destination_ports = destination,
          .target = Accept{}};
}

Address address(const std::string& text) {
  return *Address::parse(text);
}

}  // namespace

TEST_CASE("matches are the structs of the kernel and back", "[xtables]") {
  const auto [match, extension] = GENERATE(table<Match, Extension>({
      {Comment{"abc"}, {"comment", 0, text_info(256, "abc")}},
      {Comment{std::string(255, 'x')}, {"comment", 0, text_info(256, std::string(255, 'x'))}},
      {ToLocalAddress{}, {"addrtype", 1, zeros_but(8, {{2, "0400"}})}},
      {DestinationPorts{{8080, 8083}},
       {"multiport", 1, zeros_but(48, {{0, "0102"}, {2, "901f931f"}})}},
      {DestinationPorts{{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15}},
       {"multiport", 1,
        zeros_but(48, {{0, "010f"},
                       {2,
                        "010002000300040005000600070008000900"
                        "0a000b000c000d000e000f00"}})}},
      {MarkMatch{0x2000, 0x3000}, {"mark", 1, zeros_but(16, {{0, "0020000000300000"}})}},
      {ConntrackState{6}, {"conntrack", 3, zeros_but(168, {{146, "0100"}, {150, "0600"}})}},
  }));
  INFO(extension.name);
  CHECK(encode_match(match) == extension);

  Rule rule{.target = Accept{}};
  CHECK(decode_match(extension.name, extension.revision, extension.info, rule));
  CHECK(rule.matches == std::vector{match});
}

TEST_CASE("ports are a match of their protocol", "[xtables]") {
  const auto [rule, extension] = GENERATE(table<Rule, Extension>({
      {ports(kTcp, {}, PortRange{80, 80}),
       {"tcp", 0, zeros_but(16, {{0, "0000ffff"}, {4, "50005000"}})}},
      {ports(kTcp, PortRange{1, 2}, {}),
       {"tcp", 0, zeros_but(16, {{0, "01000200"}, {4, "0000ffff"}})}},
      {ports(kUdp, PortRange{1, 2}, PortRange{53, 53}),
       {"udp", 0, zeros_but(16, {{0, "01000200"}, {4, "35003500"}})}},
      {ports(kSctp, {}, PortRange{80, 81}),
       {"sctp", 0,
        zeros_but(296, {{0, "50005100"}, {268, "ff0000ff0000ff0000ff0000"}, {284, "02000000"}})}},
      {ports(kSctp, PortRange{7, 7}, PortRange{80, 80}),
       {"sctp", 0,
        zeros_but(296, {{0, "50005000"},
                        {4, "07000700"},
                        {268, "ff0000ff0000ff0000ff0000"},
                        {284, "03000000"}})}},
  }));
  INFO(render(rule));
  CHECK(encode_ports(rule) == extension);

  Rule read{.protocol = rule.protocol, .target = Accept{}};
  CHECK(decode_match(extension.name, extension.revision, extension.info, read));
  CHECK(read == rule);

  Rule twice = read;
  CHECK_FALSE(decode_match(extension.name, extension.revision, extension.info, twice));
  Rule without_protocol{.target = Accept{}};
  CHECK_FALSE(decode_match(extension.name, extension.revision, extension.info, without_protocol));
}

TEST_CASE("ports come before the other matches", "[xtables]") {
  Rule rule = ports(kTcp, {}, PortRange{80, 80});
  rule.matches = {Comment{"c"}, ToLocalAddress{}};
  std::vector<std::string> names;
  for (const Extension& extension : encode_matches(rule)) names.push_back(extension.name);
  CHECK(names == std::vector<std::string>{"tcp", "comment", "addrtype"});

  rule.destination_ports.reset();
  CHECK(encode_matches(rule).size() == 2);
}

TEST_CASE("targets are the structs of the kernel and back", "[xtables]") {
  const auto [family, target, extension] = GENERATE(table<Family, Target, Extension>({
      {Family::kIpv4,
       SetMark{0x2000, 0x3000},
       {"MARK", 2, zeros_but(8, {{0, "0020000000300000"}})}},
      {Family::kIpv4,
       DestinationNat{address("10.0.0.2"), 80},
       {"DNAT", 2,
        zeros_but(48, {{0, "03000000"}, {4, "0a000002"}, {20, "0a000002"}, {36, "00500050"}})}},
      {Family::kIpv4,
       DestinationNat{address("10.0.0.2"), 0},
       {"DNAT", 2, zeros_but(48, {{0, "01000000"}, {4, "0a000002"}, {20, "0a000002"}})}},
      {Family::kIpv6,
       DestinationNat{address("fd00::2"), 443},
       {"DNAT", 2,
        zeros_but(48, {{0, "03000000"},
                       {4, "fd000000000000000000000000000002"},
                       {20, "fd000000000000000000000000000002"},
                       {36, "01bb01bb"}})}},
      {Family::kIpv4,
       SourceNat{address("10.0.0.2"), address("10.0.0.5")},
       {"SNAT", 0,
        zeros_but(24, {{0, "01000000"}, {4, "01000000"}, {8, "0a000002"}, {12, "0a000005"}})}},
      {Family::kIpv4,
       SourceNat{address("10.0.0.2"), address("10.0.0.2"), true, true},
       {"SNAT", 0,
        zeros_but(24, {{0, "01000000"}, {4, "19000000"}, {8, "0a000002"}, {12, "0a000002"}})}},
      {Family::kIpv6,
       SourceNat{address("fd00::2"), address("fd00::5"), true, false},
       {"SNAT", 1,
        zeros_but(40, {{0, "11000000"},
                       {4, "fd000000000000000000000000000002"},
                       {20, "fd000000000000000000000000000005"}})}},
      {Family::kIpv4, Masquerade{}, {"MASQUERADE", 0, zeros_but(24, {{0, "01000000"}})}},
      {Family::kIpv4,
       Masquerade{true},
       {"MASQUERADE", 0, zeros_but(24, {{0, "01000000"}, {4, "10000000"}})}},
      {Family::kIpv6, Masquerade{}, {"MASQUERADE", 0, zeros_but(40)}},
      {Family::kIpv6, Masquerade{true}, {"MASQUERADE", 0, zeros_but(40, {{0, "10000000"}})}},
  }));
  INFO(extension.name);
  CHECK(encode_target(family, target) == extension);
  CHECK(decode_target(family, extension.name, extension.revision, extension.info) == target);
}

TEST_CASE("verdicts are no extensions", "[xtables]") {
  const Target target = GENERATE(values<Target>({Accept{}, Drop{}, Return{}, Jump{"X"}}));
  CHECK_FALSE(encode_target(Family::kIpv4, target).has_value());
}

TEST_CASE("older revisions are read too", "[xtables]") {
  SECTION("addrtype") {
    Rule rule{.target = Accept{}};
    CHECK(decode_match("addrtype", 0, zeros_but(16, {{2, "0400"}}), rule));
    CHECK(rule.matches == std::vector<Match>{ToLocalAddress{}});
  }
  SECTION("conntrack") {
    Rule rule{.target = Accept{}};
    // Rev 1 has one byte of states after two of flags each.
    CHECK(decode_match("conntrack", 1, zeros_but(152, {{146, "0100"}, {150, "06"}}), rule));
    CHECK(decode_match("conntrack", 2, zeros_but(160, {{146, "0100"}, {150, "0600"}}), rule));
    CHECK(rule.matches == std::vector<Match>{ConntrackState{6}, ConntrackState{6}});
  }
  SECTION("conntrack by its older name") {
    Rule rule{.target = Accept{}};
    CHECK(decode_match("conntrack", 3, zeros_but(168, {{146, "0120"}, {150, "0600"}}), rule));
    CHECK(rule.matches == std::vector<Match>{ConntrackState{6}});
  }
  SECTION("DNAT of IPv4") {
    const Bytes info = zeros_but(
        24,
        {{0, "01000000"}, {4, "03000000"}, {8, "0a000002"}, {12, "0a000002"}, {16, "00500050"}});
    CHECK(decode_target(Family::kIpv4, "DNAT", 0, info) ==
          Target(DestinationNat{address("10.0.0.2"), 80}));
  }
  SECTION("DNAT of IPv6") {
    const Bytes info = zeros_but(40, {{0, "03000000"},
                                      {4, "fd000000000000000000000000000002"},
                                      {20, "fd000000000000000000000000000002"},
                                      {36, "00500050"}});
    CHECK(decode_target(Family::kIpv6, "DNAT", 1, info) ==
          Target(DestinationNat{address("fd00::2"), 80}));
  }
}

TEST_CASE("what the model has no words for is not understood", "[xtables]") {
  SECTION("matches") {
    const auto [name, revision, info] = GENERATE(table<std::string, std::uint32_t, Bytes>({
        {"statistic", 0, zeros_but(24)},
        {"comment", 1, text_info(256, "abc")},
        {"comment", 0, text_info(255, "abc")},                           // too short
        {"addrtype", 2, zeros_but(8, {{2, "0400"}})},                    // no such revision
        {"addrtype", 1, zeros_but(8, {{2, "0600"}})},                    // another type too
        {"addrtype", 1, zeros_but(8, {{0, "0400"}, {2, "0400"}})},       // source too
        {"addrtype", 1, zeros_but(8, {{2, "0400"}, {4, "02000000"}})},   // inverted
        {"addrtype", 0, zeros_but(16, {{2, "0400"}, {8, "01000000"}})},  // inverted
        {"multiport", 0, zeros_but(32, {{0, "0101"}, {2, "5000"}})},     // no such revision
        {"multiport", 1, zeros_but(48, {{0, "0001"}, {2, "5000"}})},     // source
        {"multiport", 1, zeros_but(48, {{0, "0201"}, {2, "5000"}})},     // either
        {"multiport", 1, zeros_but(48, {{0, "0110"}})},                  // too many
        {"multiport", 1, zeros_but(48, {{0, "0102"}, {2, "50005100"}, {32, "01"}})},  // range
        {"multiport", 1, zeros_but(48, {{0, "0101"}, {2, "5000"}, {47, "01"}})},      // inverted
        {"mark", 1, zeros_but(16, {{8, "01"}})},                                      // inverted
        {"mark", 0, zeros_but(24)},
        {"conntrack", 3, zeros_but(168, {{146, "0300"}, {150, "0600"}})},  // protocol too
        {"conntrack", 3, zeros_but(168, {{146, "0100"}, {148, "0100"}, {150, "0600"}})},
        {"conntrack", 4, zeros_but(168, {{146, "0100"}, {150, "0600"}})},
        {"tcp", 0, zeros_but(16, {{0, "0000ffff50005000"}, {8, "01"}})},   // an option
        {"tcp", 0, zeros_but(16, {{0, "0000ffff50005000"}, {9, "02"}})},   // flags
        {"tcp", 0, zeros_but(16, {{0, "0000ffff50005000"}, {10, "02"}})},  // flags
        {"tcp", 0, zeros_but(16, {{0, "0000ffff50005000"}, {11, "02"}})},  // inverted
        {"tcp", 1, zeros_but(16, {{0, "0000ffff50005000"}})},
        {"udp", 0, zeros_but(16, {{0, "0000ffff50005000"}})},  // protocol is tcp
    }));
    INFO(name << " " << revision);
    Rule rule{.protocol = kTcp, .target = Accept{}};
    const Rule before = rule;
    CHECK_FALSE(decode_match(name, revision, info, rule));
    CHECK(rule == before);
  }
  SECTION("matches of udp and sctp") {
    Rule udp{.protocol = kUdp, .target = Accept{}};
    CHECK_FALSE(decode_match("udp", 0, zeros_but(16, {{0, "0000ffff50005000"}, {8, "01"}}), udp));
    Rule sctp{.protocol = kSctp, .target = Accept{}};
    CHECK_FALSE(decode_match("sctp", 0, zeros_but(296, {{284, "04000000"}}), sctp));
    CHECK_FALSE(decode_match("sctp", 0, zeros_but(296, {{284, "0200000002"}}), sctp));
  }
  SECTION("targets") {
    const auto [name, revision, info] = GENERATE(table<std::string, std::uint32_t, Bytes>({
        {"LOG", 0, zeros_but(40)},
        {"MARK", 1, zeros_but(16)},
        {"MARK", 2, zeros_but(4)},
        {"DNAT", 3, zeros_but(48, {{0, "01000000"}})},
        {"DNAT", 2, zeros_but(48, {{0, "01000000"}, {20, "0a000002"}})},       // several addresses
        {"DNAT", 2, zeros_but(48, {{0, "03000000"}, {36, "00500051"}})},       // several ports
        {"DNAT", 2, zeros_but(48, {{0, "02000000"}, {36, "00500050"}})},       // a port only
        {"DNAT", 2, zeros_but(48, {{0, "05000000"}})},                         // random
        {"DNAT", 0, zeros_but(24, {{0, "02000000"}, {4, "01000000"}})},        // two ranges
        {"SNAT", 0, zeros_but(24, {{0, "01000000"}, {4, "03000000"}})},        // ports
        {"SNAT", 0, zeros_but(24, {{0, "01000000"}, {4, "05000000"}})},        // random
        {"MASQUERADE", 0, zeros_but(24, {{0, "01000000"}, {4, "04000000"}})},  // random
        {"MASQUERADE", 0, zeros_but(24, {{0, "01000000"}, {4, "02000000"}})},  // ports
        {"MASQUERADE", 1, zeros_but(48)},
    }));
    INFO(name << " " << revision);
    CHECK_FALSE(decode_target(Family::kIpv4, name, revision, info).has_value());
  }
}
