// What a transaction does with what is there already.
#include <catch2/catch.hpp>
#include <cerrno>
#include <functional>

#include "inet/address.h"
#include "netns/netns.h"
#include "nftables/nftables_socket.h"
#include "support/two_namespaces.h"

using Catch::Contains;
using namespace cni::nftables;  // NOLINT(google-build-using-namespace)
using cni::test::Namespace;

namespace {

const TableId kTable{Family::kIp4, "trial"};

Bytes address(const char* text) {
  return bytes_of(*cni::inet::Address::parse(text));
}

struct Host {
  Namespace host{"nftables"};
  cni::netns::Scope scope{cni::netns::Netns::open(host.path())};
  Socket socket = Socket::here();

  Host() {
    CHECK(refusal([](Batch& batch) { batch.ensure_table({.id = kTable}); }) == 0);
  }

  // 0 if it was not refused.
  int refusal(const std::function<void(Batch&)>& fill) {
    Batch batch;
    fill(batch);
    return socket.try_commit(batch, "try",
                             {EEXIST, EBUSY, EINVAL, ENOENT, EOPNOTSUPP, ENOTEMPTY, ERANGE});
  }
};

Chain chain_at(std::int32_t priority) {
  return {.table = kTable,
          .name = "base",
          .hook = Hook{.type = "filter", .number = 2, .priority = priority}};
}

}  // namespace

TEST_CASE("what is there already is left as it is", "[nftables]") {
  Host host;
  const Set set{.table = kTable, .name = "set", .key_length = 4, .key_type = kTypeIp4};
  const Element element{.key = address("10.0.0.1"), .user_data = element_comment("first")};
  const auto all = [&](Batch& batch) {
    batch.ensure_table({.id = kTable});
    batch.ensure_chain(chain_at(10));
    batch.ensure_chain({.table = kTable, .name = "called"});
    batch.ensure_set(set);
    batch.add_elements(set, std::span(&element, 1));
  };
  REQUIRE(host.refusal(all) == 0);
  const std::string before = host.host.run("nft list ruleset");
  CHECK(host.refusal(all) == 0);
  CHECK(host.host.run("nft list ruleset") == before);

  host.host.run("nft chain ip trial base { policy drop ; }");
  CHECK(host.refusal(all) == 0);
  CHECK(host.socket.find_chain(kTable, "base")->hook->policy_drop);

  CHECK(host.refusal([&](Batch& batch) { batch.ensure_chain(chain_at(11)); }) != 0);
  Set longer = set;
  longer.key_length = 16;
  longer.key_type = kTypeIp6;
  CHECK(host.refusal([&](Batch& batch) { batch.ensure_set(longer); }) == EEXIST);
}

TEST_CASE("an element is added anew if it is equal and not asked to be the only one",
          "[nftables]") {
  Host host;
  const Set map{.table = kTable,
                .name = "map",
                .key_length = 4,
                .key_type = kTypeIp4,
                .data = Set::Data::kValue,
                .data_length = 4,
                .data_type = kTypeMark};
  Element element{
      .key = address("10.0.0.1"), .value = host_order(1), .user_data = element_comment("first")};
  const auto add = [&](bool exclusive) {
    return host.refusal(
        [&](Batch& batch) { batch.add_elements(map, std::span(&element, 1), exclusive); });
  };
  REQUIRE(host.refusal([&](Batch& batch) { batch.ensure_set(map); }) == 0);
  CHECK(add(true) == 0);
  CHECK(add(false) == 0);
  CHECK(add(true) == EEXIST);

  // Other user data are not noticed, and not taken.
  element.user_data = element_comment("second");
  CHECK(add(false) == 0);
  CHECK(host.socket.find_element(map, element.key)->user_data == element_comment("first"));
  element.value = host_order(2);
  CHECK(add(false) == EEXIST);
  CHECK(add(true) == EEXIST);
  CHECK(host.refusal([&](Batch& batch) {
    batch.delete_elements(map, std::span(&element, 1));
    batch.add_elements(map, std::span(&element, 1), true);
  }) == 0);
  CHECK(host.socket.find_element(map, element.key) == element);
}

TEST_CASE("ranges in a key of several fields may not overlap", "[nftables]") {
  Host host;
  const Set ranges{.table = kTable,
                   .name = "ranges",
                   .key_length = 8,
                   .key_type = concatenated_type({kTypeIp4, kTypePort}),
                   .field_lengths = {4, 2},
                   .interval = true,
                   .data = Set::Data::kVerdict};
  const auto range = [](std::uint16_t first, std::uint16_t last) {
    return Element{.key = concatenation({address("10.0.0.0"), network_order(first)}),
                   .key_end = concatenation({address("10.0.0.255"), network_order(last)}),
                   .verdict = Verdict{Verdict::Kind::kJump, "called"},
                   .user_data = element_comment("of " + std::to_string(first))};
  };
  const auto add = [&](const Element& element, bool exclusive) {
    return host.refusal(
        [&](Batch& batch) { batch.add_elements(ranges, std::span(&element, 1), exclusive); });
  };
  REQUIRE(host.refusal([&](Batch& batch) {
    batch.ensure_chain({.table = kTable, .name = "called"});
    batch.ensure_set(ranges);
  }) == 0);
  const Element present = range(80, 90);
  CHECK(add(present, true) == 0);
  CHECK(add(present, true) == EEXIST);
  CHECK(add(range(85, 95), false) == EEXIST);
  CHECK(add(range(91, 95), true) == 0);
  CHECK(host.socket.list_elements(ranges).size() == 2);
  CHECK(host.socket.find_chain(kTable, "called")->use == 2);

  Element renewed = present;
  renewed.user_data = element_comment("another");
  CHECK(host.refusal([&](Batch& batch) {
    batch.delete_elements(ranges, std::span(&present, 1));
    batch.add_elements(ranges, std::span(&renewed, 1), true);
  }) == 0);
  CHECK(host.socket.find_element(ranges, concatenation({address("10.0.0.7"), network_order(82)})) ==
        renewed);
  CHECK(host.refusal([&](Batch& batch) { batch.delete_chain(kTable, "called"); }) == EBUSY);
  CHECK(host.refusal([&](Batch& batch) {
    batch.delete_elements(ranges, host.socket.list_elements(ranges));
    batch.delete_set(kTable, "ranges");
    batch.delete_chain(kTable, "called");
  }) == 0);
  CHECK(host.socket.list_sets(kTable).empty());
}

TEST_CASE("a refusal says what was tried", "[nftables]") {
  Host host;
  Batch batch;
  batch.ensure_chain({.table = {Family::kIp4, "none"}, .name = "called"});
  CHECK_THROWS_WITH(host.socket.commit(batch, "add a chain"),
                    Contains("add a chain: no such file or directory"));
  CHECK_FALSE(host.socket.find_chain({Family::kIp4, "none"}, "called"));
}

TEST_CASE("nothing can be seen of another family", "[nftables]") {
  Host host;
  CHECK_FALSE(host.socket.find_table({Family::kIp6, "trial"}));
  CHECK_FALSE(host.socket.find_table({Family::kInet, "trial"}));
  CHECK(host.refusal([](Batch& batch) {
    batch.ensure_table({.id = {Family::kIp6, "trial"}});
    batch.ensure_chain({.table = {Family::kIp6, "trial"}, .name = "six"});
  }) == 0);
  CHECK(host.socket.list_chains(Family::kIp4).empty());
  const std::vector<Chain> chains = host.socket.list_chains(Family::kIp6);
  REQUIRE(chains.size() == 1);
  CHECK(chains[0].name == "six");
  CHECK_FALSE(chains[0].hook);
  CHECK(host.refusal([](Batch& batch) { batch.delete_table(kTable); }) == 0);
  CHECK(host.socket.find_table({Family::kIp6, "trial"}));
  CHECK_FALSE(host.socket.find_table(kTable));
}
