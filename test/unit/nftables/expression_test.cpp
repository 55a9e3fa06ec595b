#include "nftables/expression.h"

#include <arpa/inet.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nf_tables_compat.h>

#include <catch2/catch.hpp>
#include <map>
#include <stdexcept>
#include <string>

using namespace cni::nftables;  // NOLINT(google-build-using-namespace)
using cni::inet::Address;
using cni::inet::Family;
using cni::netlink::Attributes;
using expr::Compare;
using expr::Header;
using expr::Meta;

namespace {

// Registers of 4 bytes begin where those of 16 bytes (1 to 4) have ended.
constexpr std::uint32_t kRegister0 = 8;

Bytes bytes(std::initializer_list<int> values) {
  Bytes result;
  for (const int value : values) result.push_back(static_cast<std::byte>(value));
  return result;
}

// The attributes that are numbers of 4 bytes, as numbers.
std::map<int, std::uint32_t> numbers(const Expression& expression) {
  std::map<int, std::uint32_t> found;
  expression.parse().for_each([&](int attribute, std::span<const std::byte> payload) {
    if (const auto value = Attributes::read_value<std::uint32_t>(payload)) {
      found[attribute] = ntohl(*value);
    }
  });
  return found;
}

std::vector<int> attributes(const Expression& expression) {
  std::vector<int> found;
  expression.parse().for_each(
      [&](int attribute, std::span<const std::byte>) { found.push_back(attribute); });
  return found;
}

Bytes data(const Expression& expression, int attribute) {
  const auto value = expression.parse().nested(attribute).find(NFTA_DATA_VALUE);
  REQUIRE(value);
  return {value->begin(), value->end()};
}

using Numbers = std::map<int, std::uint32_t>;

}  // namespace

TEST_CASE("values have the order of bytes in packets or in memory", "[nftables]") {
  CHECK(network_order(0x1f90) == bytes({0x1f, 0x90}));
  const Bytes number = host_order(0x2000);
  CHECK(Attributes::read_value<std::uint32_t>(number) == 0x2000U);
  CHECK(bytes_of(*Address::parse("10.1.2.3")) == bytes({10, 1, 2, 3}));
  const Bytes six = bytes_of(*Address::parse("fd00::1"));
  CHECK(six.size() == 16);
  CHECK(six.front() == std::byte{0xfd});
  CHECK(six.back() == std::byte{1});
}

TEST_CASE("a name of a link fills 16 bytes and no more", "[nftables]") {
  Bytes expected = bytes({'c', 'n', 'i', '0'});
  expected.resize(16);
  CHECK(padded_name("cni0") == expected);
  CHECK(padded_name("a234567890bcdef").size() == 16);
  CHECK_THROWS_AS(padded_name("a234567890bcdefg"), std::length_error);
}

TEST_CASE("each field of a key begins at a multiple of 4 bytes", "[nftables]") {
  CHECK(concatenation({}).empty());
  CHECK(concatenation({bytes({6}), network_order(80), bytes({10, 0, 0, 2})}) ==
        bytes({6, 0, 0, 0, 0, 80, 0, 0, 10, 0, 0, 2}));
  CHECK(concatenation({bytes({1, 2, 3, 4, 5})}) == bytes({1, 2, 3, 4, 5, 0, 0, 0}));
}

TEST_CASE("what is loaded says from where and to which register", "[nftables]") {
  const Expression name = expr::meta(Meta::kInInterfaceName, 2);
  CHECK(name.name == "meta");
  CHECK(numbers(name) ==
        Numbers{{NFTA_META_KEY, NFT_META_IIFNAME}, {NFTA_META_DREG, kRegister0 + 2}});
  CHECK(numbers(expr::meta(Meta::kMark, 0))[NFTA_META_KEY] == NFT_META_MARK);
  CHECK(numbers(expr::meta(Meta::kInInterface, 0))[NFTA_META_KEY] == NFT_META_IIF);
  CHECK(numbers(expr::meta(Meta::kOutInterface, 0))[NFTA_META_KEY] == NFT_META_OIF);
  CHECK(numbers(expr::meta(Meta::kOutInterfaceName, 0))[NFTA_META_KEY] == NFT_META_OIFNAME);
  CHECK(numbers(expr::meta(Meta::kProtocol, 0))[NFTA_META_KEY] == NFT_META_L4PROTO);

  const Expression mark = expr::set_mark(1);
  CHECK(mark.name == "meta");
  CHECK(numbers(mark) == Numbers{{NFTA_META_KEY, NFT_META_MARK}, {NFTA_META_SREG, kRegister0 + 1}});

  const Expression port = expr::payload(Header::kTransport, 2, 2, 1);
  CHECK(port.name == "payload");
  CHECK(numbers(port) == Numbers{{NFTA_PAYLOAD_DREG, kRegister0 + 1},
                                 {NFTA_PAYLOAD_BASE, NFT_PAYLOAD_TRANSPORT_HEADER},
                                 {NFTA_PAYLOAD_OFFSET, 2},
                                 {NFTA_PAYLOAD_LEN, 2}});
  CHECK(numbers(expr::payload(Header::kLink, 6, 6, 0))[NFTA_PAYLOAD_BASE] == NFT_PAYLOAD_LL_HEADER);

  const Expression status = expr::conntrack(expr::Conntrack::kStatus, 0);
  CHECK(status.name == "ct");
  CHECK(numbers(status) == Numbers{{NFTA_CT_KEY, NFT_CT_STATUS}, {NFTA_CT_DREG, kRegister0}});

  const Expression fib = expr::fib_destination_type(3);
  CHECK(fib.name == "fib");
  CHECK(numbers(fib) == Numbers{{NFTA_FIB_DREG, kRegister0 + 3},
                                {NFTA_FIB_RESULT, NFT_FIB_RESULT_ADDRTYPE},
                                {NFTA_FIB_FLAGS, NFTA_FIB_F_DADDR}});
}

TEST_CASE("what is compared and changed carries its values", "[nftables]") {
  const Expression equal = expr::compare(Compare::kEqual, 1, bytes({'e', 't', 'h'}));
  CHECK(equal.name == "cmp");
  CHECK(data(equal, NFTA_CMP_DATA) == bytes({'e', 't', 'h'}));  // any length
  CHECK(numbers(equal)[NFTA_CMP_SREG] == kRegister0 + 1);
  CHECK(numbers(equal)[NFTA_CMP_OP] == NFT_CMP_EQ);
  CHECK(numbers(expr::compare(Compare::kNotEqual, 1, bytes({1})))[NFTA_CMP_OP] == NFT_CMP_NEQ);

  const Expression ports = expr::range(Compare::kNotEqual, 1, network_order(1), network_order(9));
  CHECK(ports.name == "range");
  CHECK(data(ports, NFTA_RANGE_FROM_DATA) == network_order(1));
  CHECK(data(ports, NFTA_RANGE_TO_DATA) == network_order(9));
  CHECK(numbers(ports)[NFTA_RANGE_SREG] == kRegister0 + 1);
  CHECK(numbers(ports)[NFTA_RANGE_OP] == NFT_RANGE_NEQ);

  const Expression masked = expr::bitwise(1, 2, host_order(0x2000), host_order(1));
  CHECK(masked.name == "bitwise");
  CHECK(numbers(masked)[NFTA_BITWISE_SREG] == kRegister0 + 1);
  CHECK(numbers(masked)[NFTA_BITWISE_DREG] == kRegister0 + 2);
  CHECK(numbers(masked)[NFTA_BITWISE_LEN] == 4);
  CHECK(data(masked, NFTA_BITWISE_MASK) == host_order(0x2000));
  CHECK(data(masked, NFTA_BITWISE_XOR) == host_order(1));

  const Expression port = expr::immediate(1, network_order(80));
  CHECK(port.name == "immediate");
  CHECK(numbers(port)[NFTA_IMMEDIATE_DREG] == kRegister0 + 1);
  CHECK(data(port, NFTA_IMMEDIATE_DATA) == network_order(80));

  const Expression counter = expr::counter();
  CHECK(counter.name == "counter");
  CHECK(counter.attributes.empty());
}

TEST_CASE("a verdict goes to the register of verdicts, with its chain", "[nftables]") {
  const auto verdict_of = [](const Expression& expression) {
    return expression.parse().nested(NFTA_IMMEDIATE_DATA).nested(NFTA_DATA_VERDICT);
  };
  const Expression jump = expr::verdict({Verdict::Kind::kJump, "called"});
  CHECK(jump.name == "immediate");
  CHECK(numbers(jump)[NFTA_IMMEDIATE_DREG] == NFT_REG_VERDICT);
  CHECK(verdict_of(jump).find_u32(NFTA_VERDICT_CODE) ==
        htonl(static_cast<std::uint32_t>(NFT_JUMP)));
  CHECK(verdict_of(jump).text(NFTA_VERDICT_CHAIN) == "called");

  const Expression drop = expr::verdict({Verdict::Kind::kDrop});
  CHECK(verdict_of(drop).find_u32(NFTA_VERDICT_CODE) == 0U);
  CHECK_FALSE(verdict_of(drop).has(NFTA_VERDICT_CHAIN));
  const Expression back = expr::verdict({Verdict::Kind::kReturn});
  CHECK(verdict_of(back).find_u32(NFTA_VERDICT_CODE) ==
        htonl(static_cast<std::uint32_t>(NFT_RETURN)));
  const Expression leave = expr::verdict({Verdict::Kind::kGoto, "called"});
  CHECK(verdict_of(leave).find_u32(NFTA_VERDICT_CODE) ==
        htonl(static_cast<std::uint32_t>(NFT_GOTO)));
}

TEST_CASE("a lookup asks, takes a value or takes a verdict", "[nftables]") {
  const Expression ask = expr::lookup("a set", 1);
  CHECK(ask.name == "lookup");
  CHECK(ask.parse().text(NFTA_LOOKUP_SET) == "a set");
  CHECK(numbers(ask)[NFTA_LOOKUP_SREG] == kRegister0 + 1);
  CHECK_FALSE(ask.parse().has(NFTA_LOOKUP_DREG));
  CHECK_FALSE(ask.parse().has(NFTA_LOOKUP_FLAGS));
  CHECK(numbers(expr::lookup("set", 0, true))[NFTA_LOOKUP_FLAGS] == NFT_LOOKUP_F_INV);
  CHECK(numbers(expr::lookup_value("map", 0, 4))[NFTA_LOOKUP_DREG] == kRegister0 + 4);
  CHECK(numbers(expr::lookup_verdict("map", 0))[NFTA_LOOKUP_DREG] == NFT_REG_VERDICT);
}

TEST_CASE("addresses are translated to those in registers", "[nftables]") {
  const Expression port = expr::dnat(Family::kIpv6, 0, 4);
  CHECK(port.name == "nat");
  CHECK(numbers(port) == Numbers{{NFTA_NAT_TYPE, NFT_NAT_DNAT},
                                 {NFTA_NAT_FAMILY, 10},
                                 {NFTA_NAT_REG_ADDR_MIN, kRegister0},
                                 {NFTA_NAT_REG_PROTO_MIN, kRegister0 + 4}});
  CHECK(numbers(expr::dnat(Family::kIpv4, 1, std::nullopt)) ==
        Numbers{{NFTA_NAT_TYPE, NFT_NAT_DNAT},
                {NFTA_NAT_FAMILY, 2},
                {NFTA_NAT_REG_ADDR_MIN, kRegister0 + 1}});

  const Expression source = expr::snat(Family::kIpv4, {.first_address = 1});
  CHECK(source.name == "nat");
  CHECK(numbers(source) == Numbers{{NFTA_NAT_TYPE, NFT_NAT_SNAT},
                                   {NFTA_NAT_FAMILY, 2},
                                   {NFTA_NAT_REG_ADDR_MIN, kRegister0 + 1}});
  Numbers range = numbers(expr::snat(
      Family::kIpv4,
      {.first_address = 1, .last_address = 2, .fully_random = true, .persistent = true}));
  CHECK(range[NFTA_NAT_REG_ADDR_MAX] == kRegister0 + 2);
  CHECK(range[NFTA_NAT_FLAGS] == (1U << 4U | 1U << 3U));  // linux/netfilter/nf_nat.h

  CHECK(expr::masquerade(false).name == "masq");
  CHECK(attributes(expr::masquerade(false)).empty());
  CHECK(numbers(expr::masquerade(true)) == Numbers{{NFTA_MASQ_FLAGS, 1U << 4U}});
}

TEST_CASE("extensions of xtables carry their structs", "[nftables]") {
  const Bytes info(48, std::byte{7});
  const Expression match = expr::xt_match("multiport", 1, info);
  CHECK(match.name == "match");
  CHECK(match.parse().text(NFTA_MATCH_NAME) == "multiport");
  CHECK(numbers(match)[NFTA_MATCH_REV] == 1);
  const auto found = match.parse().find(NFTA_MATCH_INFO);
  REQUIRE(found);
  CHECK(Bytes(found->begin(), found->end()) == info);

  const Expression target = expr::xt_target("DNAT", 2, info);
  CHECK(target.name == "target");
  CHECK(target.parse().text(NFTA_TARGET_NAME) == "DNAT");
  CHECK(numbers(target)[NFTA_TARGET_REV] == 2);
  CHECK(target.parse().find(NFTA_TARGET_INFO)->size() == 48);
}
