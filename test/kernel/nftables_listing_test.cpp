// What people see of our rules: nft(8) and iptables-nft list what was written in their own words.
#include <catch2/catch.hpp>
#include <string>

#include "inet/address.h"
#include "netns/netns.h"
#include "nftables/nftables_socket.h"
#include "support/two_namespaces.h"

using Catch::Contains;
using namespace cni::nftables;  // NOLINT(google-build-using-namespace)
using cni::test::Namespace;
using expr::Compare;
using expr::Header;
using expr::Meta;

namespace {

constexpr std::uint8_t kTcp = 6;
constexpr std::uint32_t kRouteLocal = 2;  // RTN_LOCAL, linux/rtnetlink.h

Bytes address(const char* text) {
  return bytes_of(*cni::inet::Address::parse(text));
}

Bytes byte(std::uint8_t value) {
  return {std::byte{value}};
}

struct Host {
  Namespace host{"nftables"};
  cni::netns::Scope scope{cni::netns::Netns::open(host.path())};
  Socket socket = Socket::here();
  TableId table;

  explicit Host(Family family) : table{family, "trial"} {
    Batch batch;
    batch.ensure_table({.id = table});
    batch.ensure_chain({.table = table, .name = "called"});
    socket.commit(batch, "prepare");
  }

  Rule rule(std::vector<Expression> expressions) const {
    return {.table = table, .chain = "called", .expressions = std::move(expressions)};
  }

  // The rule as nft(8) writes it, without the blanks around it.
  std::string written(std::vector<Expression> expressions) {
    Batch batch;
    batch.flush_chain(table, "called");
    batch.append_rule(rule(std::move(expressions)));
    socket.commit(batch, "write a rule");
    return line("called");
  }

  std::string line(const std::string& chain) const {
    const std::string text = host.run("nft list chain " + table.text() + " " + chain);
    std::string last;
    for (std::size_t at = 0; at < text.size();) {
      const std::size_t end = text.find('\n', at);
      const std::string one = text.substr(at, end - at);
      const std::size_t start = one.find_first_not_of('\t');
      if (start != std::string::npos && one[start] != '}') last = one.substr(start);
      at = end + 1;
    }
    return last;
  }
};

Chain nat_chain(const TableId& table, const char* name, std::uint32_t hook, std::int32_t priority) {
  return {.table = table,
          .name = name,
          .hook = Hook{.type = "nat", .number = hook, .priority = priority}};
}

}  // namespace

TEST_CASE("nft lists what a rule matches as people write it", "[nftables]") {
  Host host(Family::kIp4);
  const auto written = [&](std::vector<Expression> expressions) {
    return host.written(std::move(expressions));
  };
  const auto port = expr::payload(Header::kTransport, 2, 2, 0);

  CHECK(written({expr::meta(Meta::kInInterfaceName, 0),
                 expr::compare(Compare::kEqual, 0, padded_name("cni0"))}) == "iifname \"cni0\"");
  CHECK(written({expr::meta(Meta::kOutInterfaceName, 0),
                 expr::compare(Compare::kNotEqual, 0, padded_name("cni0"))}) ==
        "oifname != \"cni0\"");
  CHECK(written({expr::meta(Meta::kInInterface, 0),
                 expr::compare(Compare::kEqual, 0, host_order(1))}) == "iif \"lo\"");
  CHECK(written({expr::payload(Header::kNetwork, 12, 4, 0),
                 expr::compare(Compare::kEqual, 0, address("10.1.2.3"))}) == "ip saddr 10.1.2.3");
  CHECK(written({expr::payload(Header::kNetwork, 12, 3, 0),
                 expr::compare(Compare::kNotEqual, 0, {std::byte{10}, {}, {}})}) ==
        "ip saddr != 10.0.0.0/24");
  CHECK(written({expr::payload(Header::kNetwork, 16, 4, 0),
                 expr::bitwise(0, 0, address("240.0.0.0"), Bytes(4)),
                 expr::compare(Compare::kNotEqual, 0, address("224.0.0.0"))}) ==
        "ip daddr != 224.0.0.0/4");
  CHECK(written({expr::meta(Meta::kProtocol, 0), expr::compare(Compare::kEqual, 0, byte(kTcp)),
                 port, expr::compare(Compare::kEqual, 0, network_order(8080))}) ==
        "tcp dport 8080");
  CHECK(
      written({expr::meta(Meta::kProtocol, 0), expr::compare(Compare::kEqual, 0, byte(kTcp)), port,
               expr::range(Compare::kEqual, 0, network_order(8000), network_order(8010))}) ==
      "tcp dport 8000-8010");
  CHECK(written({expr::fib_destination_type(0),
                 expr::compare(Compare::kEqual, 0, host_order(kRouteLocal))}) ==
        "fib daddr type local");
  CHECK(written({expr::meta(Meta::kMark, 0), expr::bitwise(0, 0, host_order(0x2000), host_order(0)),
                 expr::compare(Compare::kEqual, 0, host_order(0x2000))}) ==
        "meta mark & 0x00002000 == 0x00002000");
  CHECK(written({expr::conntrack(expr::Conntrack::kStatus, 0),
                 expr::bitwise(0, 0, host_order(0x20), host_order(0)),
                 expr::compare(Compare::kNotEqual, 0, host_order(0))}) == "ct status dnat");
  CHECK(written({expr::conntrack(expr::Conntrack::kState, 0),
                 expr::bitwise(0, 0, host_order(6), host_order(0)),
                 expr::compare(Compare::kNotEqual, 0, host_order(0))}) ==
        "ct state established,related");
  CHECK(written({expr::conntrack(expr::Conntrack::kDirection, 0),
                 expr::compare(Compare::kEqual, 0, byte(0))}) == "ct direction original");
}

TEST_CASE("nft lists what a rule does as people write it", "[nftables]") {
  Host host(Family::kIp4);
  Batch batch;
  batch.ensure_chain({.table = host.table, .name = "other"});
  host.socket.commit(batch, "add a chain");
  const auto written = [&](std::vector<Expression> expressions) {
    return host.written(std::move(expressions));
  };
  CHECK(written({expr::verdict({Verdict::Kind::kAccept})}) == "accept");
  CHECK(written({expr::verdict({Verdict::Kind::kDrop})}) == "drop");
  CHECK(written({expr::verdict({Verdict::Kind::kReturn})}) == "return");
  CHECK(written({expr::verdict({Verdict::Kind::kJump, "other"})}) == "jump other");
  CHECK(written({expr::verdict({Verdict::Kind::kGoto, "other"})}) == "goto other");
  CHECK(written({expr::counter()}) == "counter packets 0 bytes 0");
  CHECK(written({expr::meta(Meta::kMark, 0),
                 expr::bitwise(0, 0, host_order(~0x2000U), host_order(0x2000)),
                 expr::set_mark(0)}) == "meta mark set meta mark | 0x00002000");
}

TEST_CASE("nft lists translations of addresses as people write them", "[nftables]") {
  const bool six = GENERATE(false, true);
  const auto family = six ? cni::inet::Family::kIpv6 : cni::inet::Family::kIpv4;
  const unsigned beyond = six ? 4 : 1;  // the register after an address
  Host host(table_family(family));
  Batch chains;
  chains.ensure_chain(nat_chain(host.table, "before", 0, -100));
  chains.ensure_chain(nat_chain(host.table, "after", 4, 100));
  const auto written = [&](const char* chain, std::vector<Expression> expressions) {
    Batch batch;
    batch.flush_chain(host.table, chain);
    Rule rule = host.rule(std::move(expressions));
    rule.chain = chain;
    batch.append_rule(rule);
    host.socket.commit(batch, "write a rule");
    return host.line(chain);
  };
  const Set map{.table = host.table,
                .name = "targets",
                .key_length = 8,
                .key_type = concatenated_type({kTypeProtocol, kTypePort}),
                .field_lengths = {1, 2},
                .data = Set::Data::kValue,
                .data_length = 4 * (beyond + 1),
                .data_type = concatenated_type({six ? kTypeIp6 : kTypeIp4, kTypePort})};
  chains.ensure_set(map);
  host.socket.commit(chains, "add chains");

  const char* one = six ? "fd00::2" : "10.0.0.2";
  const char* nine = six ? "fd00::9" : "10.0.0.9";
  const std::string word = six ? "ip6" : "ip";
  const std::string in_brackets = six ? "[fd00::2]" : "10.0.0.2";
  CHECK(written("before",
                {expr::immediate(0, address(one)), expr::immediate(beyond, network_order(80)),
                 expr::meta(Meta::kProtocol, beyond + 1),
                 expr::compare(Compare::kEqual, beyond + 1, byte(kTcp)),
                 expr::dnat(family, 0, beyond)}) ==
        "meta l4proto tcp dnat to " + in_brackets + ":80");
  CHECK(written("before", {expr::immediate(0, address(one)),
                           expr::dnat(family, 0, std::nullopt)}) == std::string("dnat to ") + one);
  CHECK(
      written("before", {expr::meta(Meta::kProtocol, 0), expr::payload(Header::kTransport, 2, 2, 1),
                         expr::lookup_value("targets", 0, 0), expr::dnat(family, 0, beyond)}) ==
      "dnat " + word + " to meta l4proto . th dport map @targets");

  CHECK(written("after", {expr::immediate(0, address(one)), expr::snat(family, {})}) ==
        std::string("snat to ") + one);
  CHECK(written("after", {expr::immediate(0, address(one)), expr::immediate(beyond, address(nine)),
                          expr::snat(family, {.first_address = 0,
                                              .last_address = beyond,
                                              .fully_random = true,
                                              .persistent = true})}) ==
        std::string("snat to ") + one + "-" + nine + " fully-random,persistent");
  CHECK(written("after", {expr::masquerade(false)}) == "masquerade");
  CHECK(written("after", {expr::masquerade(true)}) == "masquerade fully-random");
}

TEST_CASE("nft lists sets and maps with their elements", "[nftables]") {
  Host host(Family::kInet);
  const Set names{.table = host.table,
                  .name = "names",
                  .key_length = 16,
                  .key_type = kTypeInterfaceName,
                  .data = Set::Data::kVerdict};
  const Set pairs{.table = host.table,
                  .name = "pairs",
                  .key_length = 20,
                  .key_type = concatenated_type({kTypeInterfaceName, kTypeIp4}),
                  .field_lengths = {16, 4}};
  const Set marks{.table = host.table,
                  .name = "marks",
                  .key_length = 16,
                  .key_type = kTypeIp6,
                  .data = Set::Data::kValue,
                  .data_length = 4,
                  .data_type = kTypeMark};
  Batch batch;
  for (const Set& set : {names, pairs, marks}) batch.ensure_set(set);
  const Element name{.key = padded_name("cni0"),
                     .verdict = Verdict{Verdict::Kind::kGoto, "called"}};
  Bytes user_data = element_comment("who");
  append_user_data(user_data, 200, network_order(7));
  const Element pair{.key = concatenation({padded_name("cni0"), address("10.0.0.2")}),
                     .user_data = user_data};
  const Element mark{.key = address("fd00::2"), .value = host_order(0x2000)};
  batch.add_elements(names, std::span(&name, 1));
  batch.add_elements(pairs, std::span(&pair, 1));
  batch.add_elements(marks, std::span(&mark, 1));
  batch.append_rule(
      host.rule({expr::meta(Meta::kInInterfaceName, 0), expr::lookup_verdict("names", 0)}));
  Batch inverted;
  inverted.append_rule(
      host.rule({expr::meta(Meta::kInInterfaceName, 0), expr::payload(Header::kNetwork, 12, 4, 4),
                 expr::lookup("pairs", 0, true)}));
  host.socket.commit(batch, "add sets");

  CHECK(host.line("called") == "iifname vmap @names");
  const std::string text = host.host.run("nft list ruleset");
  CHECK_THAT(text, Contains("elements = { \"cni0\" : goto called }"));
  CHECK_THAT(text, Contains("type ifname . ipv4_addr"));
  CHECK_THAT(text, Contains("elements = { \"cni0\" . 10.0.0.2 comment \"who\" }"));
  CHECK_THAT(text, Contains("type ipv6_addr : mark"));
  CHECK_THAT(text, Contains("elements = { fd00::2 : 0x00002000 }"));
  CHECK(host.socket.find_element(pairs, pair.key) == pair);
  CHECK(host.socket.list_elements(marks) == std::vector{mark});

  host.socket.commit(inverted, "add a rule");
  CHECK_THAT(host.line("called"), Contains("!= @pairs"));
}

TEST_CASE("frames are told apart by addresses of the link", "[nftables]") {
  Host host(Family::kBridge);
  Bytes mac;
  for (const int value : {2, 0, 0, 0, 0, 7}) mac.push_back(static_cast<std::byte>(value));
  CHECK(host.written(
            {expr::payload(Header::kLink, 6, 6, 0), expr::compare(Compare::kNotEqual, 0, mac),
             expr::verdict({Verdict::Kind::kDrop})}) == "ether saddr != 02:00:00:00:00:07 drop");
}

TEST_CASE("iptables-nft lists extensions of xtables in its tables", "[nftables][iptables-nft]") {
  const Namespace host("nftables");
  const cni::netns::Scope scope(cni::netns::Netns::open(host.path()));
  Socket socket = Socket::here();
  const TableId nat{Family::kIp4, "nat"};
  Batch batch;
  batch.ensure_table({.id = nat});
  batch.ensure_chain(nat_chain(nat, "POSTROUTING", 4, 100));
  Bytes comment(256);
  const std::string text = "a remark";
  for (std::size_t at = 0; at < text.size(); ++at) comment[at] = static_cast<std::byte>(text[at]);
  Bytes all_zero_but_one_range(24);
  all_zero_but_one_range[0] = std::byte{1};
  batch.append_rule({.table = nat,
                     .chain = "POSTROUTING",
                     .expressions = {expr::meta(Meta::kProtocol, 0),
                                     expr::compare(Compare::kEqual, 0, byte(kTcp)),
                                     expr::xt_match("comment", 0, comment), expr::counter(),
                                     expr::xt_target("MASQUERADE", 0, all_zero_but_one_range)},
                     .compat_protocol = kTcp});
  socket.commit(batch, "write a rule of the dialect");
  CHECK_THAT(host.run("iptables-nft -t nat -S"),
             Contains("-A POSTROUTING -p tcp -m comment --comment \"a remark\" -j MASQUERADE"));
  const std::vector<Rule> rules = socket.list_rules(nat, "POSTROUTING");
  REQUIRE(rules.size() == 1);
  CHECK(rules[0].expressions[2] == expr::xt_match("comment", 0, comment));
}
