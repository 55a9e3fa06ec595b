#include "xtables/dialect_rule.h"

#include <catch2/catch.hpp>
#include <optional>
#include <string>
#include <vector>

#include "xtables/extension.h"

using namespace cni::xtables;  // NOLINT(google-build-using-namespace)
namespace expr = cni::nftables::expr;
using cni::inet::Address;
using cni::inet::Family;
using cni::inet::Network;
using cni::nftables::Bytes;
using cni::nftables::Expression;
using expr::Compare;
using expr::Header;
using expr::Meta;

namespace {

constexpr std::uint8_t kTcp = 6;
constexpr std::uint8_t kSctp = 132;

Bytes bytes(std::initializer_list<int> values) {
  Bytes result;
  for (const int value : values) result.push_back(static_cast<std::byte>(value));
  return result;
}

Expression equal(const Bytes& value) {
  return expr::compare(Compare::kEqual, 0, value);
}

Expression not_equal(const Bytes& value) {
  return expr::compare(Compare::kNotEqual, 0, value);
}

Expression network_header(std::uint32_t offset, std::uint32_t length) {
  return expr::payload(Header::kNetwork, offset, length, 0);
}

Expression transport_header(std::uint32_t offset, std::uint32_t length) {
  return expr::payload(Header::kTransport, offset, length, 0);
}

Expression match(const Match& match) {
  const Extension extension = encode_match(match);
  return expr::xt_match(extension.name, extension.revision, extension.info);
}

Expression target(Family family, const Target& target) {
  const Extension extension = *encode_target(family, target);
  return expr::xt_target(extension.name, extension.revision, extension.info);
}

Expression jump(const std::string& chain) {
  return expr::verdict({.kind = cni::nftables::Verdict::Kind::kJump, .chain = chain});
}

Expression accept() {
  return expr::verdict({.kind = cni::nftables::Verdict::Kind::kAccept});
}

AddressMatch address(const std::string& text, bool inverted = false) {
  return {.network = *Network::parse(text), .inverted = inverted};
}

struct Case {
  Rule rule;
  std::vector<Expression> expressions;
  std::optional<std::uint32_t> compat_protocol = std::nullopt;
};

}  // namespace

TEST_CASE("rules of IPv4 become expressions in the order of iptables-nft", "[xtables]") {
  const Comment comment{"c"};
  const DestinationPorts ports{{8080, 8083}};
  const SetMark mark{0x2000, 0x2000};
  const DestinationNat dnat{*Address::parse("10.0.0.2"), 80};
  const std::vector<Case> cases = {
      // An entry of portmap.
      {.rule = {.protocol = kTcp, .matches = {comment, ports}, .target = Jump{"X"}},
       .expressions = {expr::meta(Meta::kProtocol, 0), equal(bytes({6})), match(comment),
                       match(ports), expr::counter(), jump("X")},
       .compat_protocol = 6},
      // Hairpin.
      {.rule = {.source = address("10.0.0.0/24"),
                .protocol = kTcp,
                .destination_ports = PortRange{8080, 8080},
                .target = Jump{"SETMARK"}},
       .expressions = {expr::meta(Meta::kProtocol, 0), equal(bytes({6})), network_header(12, 3),
                       equal(bytes({10, 0, 0})), transport_header(2, 2), equal(bytes({0x1f, 0x90})),
                       expr::counter(), jump("SETMARK")}},
      {.rule = {.protocol = kTcp, .destination_ports = PortRange{80, 80}, .target = dnat},
       .expressions = {expr::meta(Meta::kProtocol, 0), equal(bytes({6})), transport_header(2, 2),
                       equal(bytes({0, 80})), expr::counter(), target(Family::kIpv4, dnat)},
       .compat_protocol = 6},
      {.rule = {.matches = {comment}, .target = mark},
       .expressions = {match(comment), expr::counter(), target(Family::kIpv4, mark)},
       .compat_protocol = 0},
      {.rule = {.matches = {MarkMatch{0x2000, 0x3000}}, .target = Masquerade{}},
       .expressions = {expr::meta(Meta::kMark, 0),
                       expr::bitwise(0, 0, cni::nftables::host_order(0x3000), Bytes(4)),
                       equal(cni::nftables::host_order(0x2000)), expr::counter(),
                       target(Family::kIpv4, Masquerade{})},
       .compat_protocol = 0},
      {.rule = {.matches = {MarkMatch{5, 0xffffffff}}, .target = Accept{}},
       .expressions = {expr::meta(Meta::kMark, 0), equal(cni::nftables::host_order(5)),
                       expr::counter(), accept()}},
      {.rule = {.matches = {ToLocalAddress{}}, .target = Jump{"X"}},
       .expressions = {match(ToLocalAddress{}), expr::counter(), jump("X")},
       .compat_protocol = 0},
      {.rule = {.destination = address("10.0.0.2/32"),
                .matches = {ConntrackState{6}},
                .target = Accept{}},
       .expressions = {network_header(16, 4), equal(bytes({10, 0, 0, 2})), match(ConntrackState{6}),
                       expr::counter(), accept()},
       .compat_protocol = 0},
      // Between interfaces: whole names with their NUL, prefixes without.
      {.rule = {.in = InterfaceMatch{"cni0"},
                .out = InterfaceMatch{"cni0", true},
                .target = Jump{"X"}},
       .expressions = {expr::meta(Meta::kInInterfaceName, 0), equal(bytes({'c', 'n', 'i', '0', 0})),
                       expr::meta(Meta::kOutInterfaceName, 0),
                       not_equal(bytes({'c', 'n', 'i', '0', 0})), expr::counter(), jump("X")}},
      {.rule = {.in = InterfaceMatch{"eth+"}, .target = Accept{}},
       .expressions = {expr::meta(Meta::kInInterfaceName, 0), equal(bytes({'e', 't', 'h'})),
                       expr::counter(), accept()}},
      {.rule = {.destination = address("224.0.0.0/4", true),
                .matches = {comment},
                .target = Masquerade{}},
       .expressions = {network_header(16, 4), expr::bitwise(0, 0, bytes({0xf0, 0, 0, 0}), Bytes(4)),
                       not_equal(bytes({0xe0, 0, 0, 0})), match(comment), expr::counter(),
                       target(Family::kIpv4, Masquerade{})},
       .compat_protocol = 0},
      {.rule = {.source = address("10.1.2.3/8"), .target = Accept{}},
       .expressions = {network_header(12, 1), equal(bytes({10})), expr::counter(), accept()}},
      // Ports: one, both, a range.
      {.rule = {.protocol = kTcp,
                .source_ports = PortRange{7, 7},
                .destination_ports = PortRange{80, 80},
                .target = Accept{}},
       .expressions = {expr::meta(Meta::kProtocol, 0), equal(bytes({6})), transport_header(0, 4),
                       equal(bytes({0, 7, 0, 80})), expr::counter(), accept()}},
      {.rule = {.protocol = kTcp,
                .source_ports = PortRange{7, 7},
                .destination_ports = PortRange{80, 90},
                .target = Accept{}},
       .expressions = {expr::meta(Meta::kProtocol, 0), equal(bytes({6})), transport_header(0, 2),
                       equal(bytes({0, 7})), transport_header(2, 2),
                       expr::range(Compare::kEqual, 0, bytes({0, 80}), bytes({0, 90})),
                       expr::counter(), accept()}},
  };
  for (const auto& [rule, expressions, compat_protocol] : cases) {
    INFO(render(rule));
    const auto encoded = encode_dialect(Family::kIpv4, "nat", "CHAIN", rule);
    CHECK(encoded.table == cni::nftables::TableId{cni::nftables::Family::kIp4, "nat"});
    CHECK(encoded.chain == "CHAIN");
    CHECK(encoded.user_data.empty());
    CHECK(encoded.expressions == expressions);
    CHECK(encoded.compat_protocol == compat_protocol);
    const StoredRule decoded = decode_dialect(Family::kIpv4, encoded);
    REQUIRE(decoded.rule.has_value());
    CHECK(same_meaning(*decoded.rule, rule));
    CHECK(decoded.jump_target == rule.jump_target());
    CHECK(decoded.comment == rule.comment());
  }
}

TEST_CASE("rules of IPv6 have the offsets of its header", "[xtables]") {
  const Rule rule{.source = address("fd00::/16"),
                  .destination = address("fc00::/7", true),
                  .target = Masquerade{}};
  Bytes mask(16);
  mask[0] = std::byte{0xfe};
  Bytes network(16);
  network[0] = std::byte{0xfc};
  const auto encoded = encode_dialect(Family::kIpv6, "nat", "CHAIN", rule);
  CHECK(encoded.table.family == cni::nftables::Family::kIp6);
  CHECK(encoded.expressions ==
        std::vector<Expression>{network_header(8, 2), equal(bytes({0xfd, 0})),
                                network_header(24, 16), expr::bitwise(0, 0, mask, Bytes(16)),
                                not_equal(network), expr::counter(),
                                target(Family::kIpv6, Masquerade{})});
  CHECK(decode_dialect(Family::kIpv6, encoded).rule == rule);
}

TEST_CASE("conditions that exclude nothing are not written", "[xtables]") {
  const Rule rule{.source = address("0.0.0.0/0"),
                  .protocol = kSctp,
                  .source_ports = PortRange{0, 65535},
                  .destination_ports = PortRange{0, 65535},
                  .target = Accept{}};
  CHECK(encode_dialect(Family::kIpv4, "nat", "CHAIN", rule).expressions ==
        std::vector<Expression>{expr::meta(Meta::kProtocol, 0), equal(bytes({132})),
                                expr::counter(), accept()});
}

TEST_CASE("registers are followed by their content", "[xtables]") {
  cni::nftables::Rule rule;
  const auto decoded = [&] { return decode_dialect(Family::kIpv4, rule).rule; };
  SECTION("one that is used twice") {
    rule.expressions = {expr::meta(Meta::kMark, 4), expr::meta(Meta::kProtocol, 0),
                        equal(bytes({6})), expr::compare(Compare::kEqual, 4, bytes({5, 0, 0, 0})),
                        accept()};
    REQUIRE(decoded().has_value());
    CHECK(render(*decoded()) == "-p tcp -m mark --mark 0x5 -j ACCEPT");
  }
  SECTION("one that was never loaded") {
    rule.expressions = {expr::meta(Meta::kProtocol, 4), equal(bytes({6})), accept()};
    CHECK_FALSE(decoded().has_value());
  }
  SECTION("ports before their protocol") {
    rule.expressions = {transport_header(2, 2), equal(bytes({0, 80})), accept()};
    CHECK_FALSE(decoded().has_value());
  }
  SECTION("a value of another length") {
    rule.expressions = {network_header(12, 4), equal(bytes({10, 0})), accept()};
    CHECK_FALSE(decoded().has_value());
  }
  SECTION("a mask with holes") {
    rule.expressions = {network_header(12, 4),
                        expr::bitwise(0, 0, bytes({255, 0, 255, 0}), Bytes(4)),
                        equal(bytes({10, 0, 1, 0})), accept()};
    CHECK_FALSE(decoded().has_value());
  }
  SECTION("something after the end") {
    rule.expressions = {accept(), expr::meta(Meta::kProtocol, 0), equal(bytes({6}))};
    CHECK_FALSE(decoded().has_value());
  }
  SECTION("no end") {
    rule.expressions = {expr::meta(Meta::kProtocol, 0), equal(bytes({6})), expr::counter()};
    CHECK_FALSE(decoded().has_value());
  }
  SECTION("nothing but an unknown name") {
    rule.expressions = {{.name = "quota", .attributes = {}}, accept()};
    CHECK_FALSE(decoded().has_value());
  }
}
