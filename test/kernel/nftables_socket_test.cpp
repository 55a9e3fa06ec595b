#include "nftables/nftables_socket.h"

#include <catch2/catch.hpp>
#include <cerrno>

#include "inet/address.h"
#include "netns/netns.h"
#include "support/two_namespaces.h"

using Catch::Contains;
using namespace cni::nftables;  // NOLINT(google-build-using-namespace)
using cni::test::Namespace;

namespace {

constexpr std::uint8_t kTcp = 6;

cni::inet::Address address(const char* text) {
  return *cni::inet::Address::parse(text);
}

struct Host {
  Namespace host{"nftables"};
  cni::netns::Scope scope{cni::netns::Netns::open(host.path())};
  Socket socket = Socket::here();
  TableId table{Family::kIp4, "trial"};
  Set addresses{.table = table, .name = "addresses", .key_length = 4, .key_type = kTypeIp4};

  Batch with_table() const {
    Batch batch;
    batch.ensure_table({.id = table, .user_data = table_comment("a trial")});
    return batch;
  }

  void commit(const Batch& batch) { socket.commit(batch, "try"); }

  std::string list() const { return host.run("nft list ruleset"); }
};

Chain base_chain(const TableId& table, const char* name, const char* type, std::uint32_t number,
                 std::int32_t priority) {
  return {.table = table,
          .name = name,
          .hook = Hook{.type = type, .number = number, .priority = priority}};
}

Bytes number_key(std::uint32_t number) {
  return {static_cast<std::byte>(10), static_cast<std::byte>(number >> 16),
          static_cast<std::byte>(number >> 8), static_cast<std::byte>(number)};
}

std::vector<Element> many_elements(std::uint32_t count) {
  std::vector<Element> elements;
  for (std::uint32_t number = 0; number < count; ++number) {
    elements.push_back({.key = number_key(number),
                        .user_data = element_comment("number " + std::to_string(number))});
  }
  return elements;
}

}  // namespace

TEST_CASE("an empty namespace has nothing of nf_tables", "[nftables]") {
  Host host;
  CHECK(Socket::find());
  CHECK_FALSE(host.socket.find_table(host.table));
  CHECK_FALSE(host.socket.find_chain(host.table, "none"));
  CHECK(host.socket.list_chains(Family::kIp4).empty());
  CHECK(host.socket.list_rules(host.table).empty());
  CHECK(host.socket.list_rules(host.table, "none").empty());
  CHECK_FALSE(host.socket.has_set(host.table, "none"));
  CHECK(host.socket.list_sets(host.table).empty());
  CHECK(host.socket.list_elements(host.addresses).empty());
  CHECK(host.socket.some_elements(host.addresses).empty());
  CHECK_FALSE(host.socket.find_element(host.addresses, number_key(1)));
  CHECK(host.list().empty());
}

TEST_CASE("tables, chains and rules are read as they were written", "[nftables]") {
  Host host;
  Batch batch = host.with_table();
  batch.ensure_chain({.table = host.table, .name = "called"});
  const Chain base = base_chain(host.table, "postrouting", "nat", 4, 100);
  batch.ensure_chain(base);
  const Rule jump{.table = host.table,
                  .chain = "postrouting",
                  .expressions = {expr::verdict({Verdict::Kind::kJump, "called"})},
                  .user_data = rule_comment("to the other")};
  const Rule hide{
      .table = host.table,
      .chain = "called",
      .expressions = {expr::payload(expr::Header::kNetwork, 12, 4, 0),
                      expr::compare(expr::Compare::kEqual, 0, bytes_of(address("10.1.2.3"))),
                      expr::masquerade(true)}};
  batch.append_rule(hide);
  batch.append_rule(jump);
  Rule first = jump;
  first.user_data = rule_comment("before it");
  batch.insert_rule(first);
  host.commit(batch);

  CHECK(host.socket.find_table(host.table)->user_data == table_comment("a trial"));
  const auto chain = host.socket.find_chain(host.table, "postrouting");
  REQUIRE(chain);
  CHECK(chain->hook == base.hook);
  CHECK(chain->use == 2);
  CHECK(host.socket.find_chain(host.table, "called")->use == 3);
  CHECK(host.socket.list_chains(Family::kIp4).size() == 2);
  CHECK(host.socket.list_chains(Family::kIp6).empty());

  const std::vector<Rule> rules = host.socket.list_rules(host.table, "postrouting");
  REQUIRE(rules.size() == 2);
  CHECK(rules[0].comment() == "before it");
  CHECK(rules[1].comment() == "to the other");
  CHECK(rules[1].jump_target() == "called");
  CHECK(rules[1].handle != 0);
  CHECK(host.socket.list_rules(host.table).size() == 3);
  const std::string text = host.list();
  CHECK_THAT(text, Contains("ip saddr 10.1.2.3 masquerade fully-random"));
  CHECK_THAT(text, Contains("type nat hook postrouting priority srcnat; policy accept;"));
  CHECK_THAT(text, Contains("comment \"a trial\""));
  CHECK_THAT(text, Contains("jump called comment \"to the other\""));

  Batch removal;
  removal.delete_rule(host.table, "postrouting", rules[0].handle);
  removal.flush_chain(host.table, "called");
  host.commit(removal);
  CHECK(host.socket.list_rules(host.table).size() == 1);
  Batch referred;
  referred.delete_chain(host.table, "called");
  CHECK(host.socket.try_commit(referred, "try", {EBUSY}) == EBUSY);

  Batch end;
  end.delete_table(host.table);
  host.commit(end);
  CHECK(host.list().empty());
}

TEST_CASE("a rule is put before another one", "[nftables]") {
  Host host;
  Batch batch = host.with_table();
  batch.ensure_chain({.table = host.table, .name = "called"});
  const auto rule = [&](const char* comment) {
    return Rule{.table = host.table,
                .chain = "called",
                .expressions = {expr::counter()},
                .user_data = rule_comment(comment)};
  };
  batch.append_rule(rule("one"));
  batch.append_rule(rule("three"));
  host.commit(batch);
  Batch middle;
  middle.insert_rule_before(rule("two"), host.socket.list_rules(host.table)[1].handle);
  host.commit(middle);
  CHECK(host.socket.list_rules(host.table)[1].comment() == "two");
}

TEST_CASE("a transaction happens as a whole or not at all", "[nftables]") {
  Host host;
  Batch batch = host.with_table();
  batch.ensure_set(host.addresses);
  batch.delete_rule(host.table, "none", 7);
  CHECK_THROWS_WITH(host.commit(batch), Contains("try: no such file or directory"));
  CHECK(host.list().empty());

  const std::uint32_t before = host.socket.generation();
  host.commit(host.with_table());
  CHECK(host.socket.generation() != before);
  Batch late;
  late.ensure_set(host.addresses);
  CHECK(host.socket.try_commit(late, "try", {ERESTART}, before) == ERESTART);
  CHECK_FALSE(host.socket.has_set(host.table, "addresses"));
  CHECK(host.socket.try_commit(late, "try", {ERESTART}, host.socket.generation()) == 0);
  CHECK(host.socket.has_set(host.table, "addresses"));
  CHECK(host.socket.try_commit(Batch(), "nothing", {}) == 0);
}

// A batch of a megabyte needs the capability for a large buffer.
TEST_CASE("elements are added, found and deleted by thousands", "[nftables][real-root]") {
  Host host;
  Batch batch = host.with_table();
  batch.ensure_set(host.addresses);
  host.commit(batch);
  CHECK(host.socket.some_elements(host.addresses).empty());
  const std::vector<Element> elements = many_elements(20000);
  Batch all;
  all.add_elements(host.addresses, elements, true);
  host.commit(all);
  CHECK_FALSE(host.socket.some_elements(host.addresses).empty());
  CHECK(host.socket.list_elements(host.addresses).size() == 20000);
  const auto found = host.socket.find_element(host.addresses, number_key(19999));
  REQUIRE(found);
  CHECK(*found == elements[19999]);

  std::vector<Bytes> keys;
  for (std::uint32_t number = 19900; number < 20100; ++number) keys.push_back(number_key(number));
  CHECK(host.socket.find_elements(host.addresses, keys).size() == 100);

  Batch again;
  again.add_elements(host.addresses, std::span(elements).first(1), true);
  CHECK(host.socket.try_commit(again, "try", {EEXIST}) == EEXIST);
  Batch replaced;
  replaced.delete_elements(host.addresses, std::span(elements).first(1));
  Element other = elements[0];
  other.user_data = element_comment("somebody else's");
  replaced.add_elements(host.addresses, std::span(&other, 1), true);
  host.commit(replaced);
  CHECK(host.socket.find_element(host.addresses, number_key(0)) == other);

  Batch none;
  none.delete_elements(host.addresses, elements);
  host.commit(none);
  CHECK(host.socket.some_elements(host.addresses).empty());
  CHECK(host.socket.try_commit(none, "try", {ENOENT}) == ENOENT);
}

TEST_CASE("maps lead to verdicts and to addresses with ports", "[nftables]") {
  Host host;
  const Set verdicts{.table = host.table,
                     .name = "sources",
                     .key_length = 4,
                     .key_type = kTypeIp4,
                     .data = Set::Data::kVerdict};
  const Set targets{.table = host.table,
                    .name = "ports",
                    .key_length = 8,
                    .key_type = concatenated_type({kTypeProtocol, kTypePort}),
                    .field_lengths = {1, 2},
                    .data = Set::Data::kValue,
                    .data_length = 8,
                    .data_type = concatenated_type({kTypeIp4, kTypePort})};
  Batch batch = host.with_table();
  batch.ensure_set(verdicts);
  batch.ensure_set(targets);
  batch.ensure_chain({.table = host.table, .name = "called"});
  batch.ensure_chain(base_chain(host.table, "prerouting", "nat", 0, -100));
  batch.append_rule({.table = host.table,
                     .chain = "prerouting",
                     .expressions = {expr::payload(expr::Header::kNetwork, 12, 4, 0),
                                     expr::lookup_verdict("sources", 0)}});
  batch.append_rule({.table = host.table,
                     .chain = "prerouting",
                     .expressions = {expr::meta(expr::Meta::kProtocol, 0),
                                     expr::payload(expr::Header::kTransport, 2, 2, 1),
                                     expr::lookup_value("ports", 0, 0),
                                     expr::dnat(cni::inet::Family::kIpv4, 0, 1)}});
  const Element jump{.key = bytes_of(address("10.0.0.9")),
                     .verdict = Verdict{Verdict::Kind::kJump, "called"},
                     .user_data = element_comment("mine")};
  batch.add_elements(verdicts, std::span(&jump, 1));
  const Element target{.key = concatenation({{std::byte{kTcp}}, network_order(8080)}),
                       .value = concatenation({bytes_of(address("10.0.0.2")), network_order(80)})};
  batch.add_elements(targets, std::span(&target, 1));
  host.commit(batch);

  CHECK(host.socket.find_element(verdicts, jump.key) == jump);
  CHECK(host.socket.find_element(targets, target.key) == target);
  CHECK(host.socket.find_chain(host.table, "called")->use == 1);
  const std::string text = host.list();
  CHECK_THAT(text, Contains("10.0.0.9 comment \"mine\" : jump called"));
  CHECK_THAT(text, Contains("tcp . 8080 : 10.0.0.2 . 80"));
  CHECK_THAT(text, Contains("dnat ip to meta l4proto . th dport map @ports") ||
                       Contains("dnat to meta l4proto . th dport map @ports"));
  std::vector<std::string> names;
  for (const Set& set : host.socket.list_sets(host.table)) {
    names.push_back(set.name);
    if (set.name != "ports") continue;
    CHECK(set.data == Set::Data::kValue);
    CHECK(set.key_length == 8);
    CHECK(set.data_length == 8);
  }
  CHECK(names.size() == 2);
}

TEST_CASE("intervals hold the keys between their ends", "[nftables]") {
  Host host;
  const Set one_field{.table = host.table,
                      .name = "networks",
                      .key_length = 4,
                      .key_type = kTypeIp4,
                      .interval = true};
  const Set fields{.table = host.table,
                   .name = "ranges",
                   .key_length = 12,
                   .key_type = concatenated_type({kTypeIp4, kTypeProtocol, kTypePort}),
                   .field_lengths = {4, 1, 2},
                   .interval = true,
                   .data = Set::Data::kValue,
                   .data_length = 4,
                   .data_type = kTypeIp4};
  Batch batch = host.with_table();
  batch.ensure_set(one_field);
  batch.ensure_set(fields);
  const std::vector<Element> ends = {{.key = bytes_of(address("0.0.0.0")), .interval_end = true},
                                     {.key = bytes_of(address("10.0.0.0"))},
                                     {.key = bytes_of(address("10.1.0.0")), .interval_end = true}};
  batch.add_elements(one_field, ends);
  const auto key = [](const char* ip, std::uint16_t port) {
    return concatenation({bytes_of(address(ip)), {std::byte{kTcp}}, network_order(port)});
  };
  const Element range{.key = key("0.0.0.0", 8000),
                      .key_end = key("255.255.255.255", 8999),
                      .value = bytes_of(address("10.0.0.2"))};
  batch.add_elements(fields, std::span(&range, 1));
  host.commit(batch);

  CHECK(host.socket.find_element(one_field, bytes_of(address("10.0.3.4"))));
  CHECK_FALSE(host.socket.find_element(one_field, bytes_of(address("10.1.3.4"))));
  CHECK(host.socket.find_element(fields, key("192.0.2.7", 8500)) == range);
  CHECK_FALSE(host.socket.find_element(fields, key("192.0.2.7", 9000)));
  CHECK_THAT(host.list(), Contains("10.0.0.0/16"));
  Batch none;
  none.delete_elements(fields, std::span(&range, 1));
  none.delete_elements(one_field, ends);
  host.commit(none);
  CHECK(host.socket.list_elements(fields).empty());
}

TEST_CASE("extensions of xtables are told from others", "[nftables]") {
  Host host;
  CHECK(host.socket.supports_xt_match(Family::kIp4, "comment", 0));
  CHECK(host.socket.supports_xt_target(Family::kIp6, "DNAT", 2));
  CHECK_FALSE(host.socket.supports_xt_match(Family::kIp4, "no-such-match", 0));
  CHECK_FALSE(host.socket.supports_xt_target(Family::kIp4, "DNAT", 77));
}
