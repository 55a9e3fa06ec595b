// What nf_tables says when much is said at once, and when not all of it arrives.
#include <sys/socket.h>

#include <catch2/catch.hpp>
#include <cerrno>

#include "kernel/spoilt_calls.h"
#include "netlink/netlink_socket.h"
#include "netns/netns.h"
#include "nftables/nftables_socket.h"
#include "support/two_namespaces.h"

using namespace cni::nftables;  // NOLINT(google-build-using-namespace)
using cni::test::Namespace;

namespace {

const TableId kTable{Family::kIp4, "trial"};

struct Host {
  Namespace host{"nftables"};
  cni::netns::Scope scope{cni::netns::Netns::open(host.path())};
  Socket socket = Socket::here();
  Set set{.table = kTable, .name = "numbers", .key_length = 4, .key_type = kTypeIp4};

  Host() {
    Batch batch;
    batch.ensure_table({.id = kTable});
    batch.ensure_set(set);
    batch.ensure_chain({.table = kTable, .name = "called"});
    socket.commit(batch, "prepare");
  }

  void add(std::uint32_t first, std::uint32_t count) {
    std::vector<Element> elements;
    for (std::uint32_t number = first; number < first + count; ++number) {
      elements.push_back({.key = host_order(number)});
    }
    Batch batch;
    batch.add_elements(set, elements);
    socket.commit(batch, "add");
  }
};

Rule rule_for(const std::string& chain) {
  return {.table = kTable, .chain = chain, .expressions = {expr::counter()}};
}

}  // namespace

TEST_CASE("of more refusals than the socket can hold the first one counts", "[nftables]") {
  Host host;
  Batch batch;
  batch.append_rule(rule_for("called"));
  batch.append_rule({.table = kTable,
                     .chain = "called",
                     .expressions = {expr::verdict({Verdict::Kind::kJump, "called"}),
                                     Expression{.name = "no such thing", .attributes = {}}}});
  for (int at = 0; at < 5000; ++at) batch.delete_rule(kTable, "called", 1000000);
  CHECK(host.socket.try_commit(batch, "try", {ENOENT, EOPNOTSUPP}) != 0);
  CHECK(host.socket.list_rules(kTable).empty());

  // What was not read has not become an answer to something else.
  Batch fine;
  fine.append_rule(rule_for("called"));
  host.socket.commit(fine, "add a rule");
  CHECK(host.socket.list_rules(kTable).size() == 1);
}

TEST_CASE("a transaction that finds no room is sent again", "[nftables]") {
  Host host;
  std::uint32_t number = 0;
  for (const int failure : {EINTR, ENOBUFS, EAGAIN}) {
    int left = 3;
    const cni::test::Spoilt spoilt(nullptr, [&](const auto&) { return left-- > 0 ? failure : 0; });
    host.add(number++, 1);
    CHECK(left < 0);
  }
  CHECK(host.socket.list_elements(host.set).size() == number);
}

TEST_CASE("a list is whole while the kernel moves its elements", "[nftables]") {
  // The kernel's hash table is three quarters full then, and grows.
  constexpr std::uint32_t kBeforeItGrows = 24500;
  constexpr std::uint32_t kMore = 200;
  constexpr int kRounds = 3;  // without care every second list is wrong
  Host host;
  for (int round = 0; round < kRounds; ++round) {
    host.set.name = "round" + std::to_string(round);
    Batch batch;
    batch.ensure_set(host.set);
    host.socket.commit(batch, "add a set");
    host.add(0, kBeforeItGrows);
    CHECK(host.socket.list_elements(host.set).size() == kBeforeItGrows);
    host.add(kBeforeItGrows, kMore);
    const std::vector<Element> elements = host.socket.list_elements(host.set);
    CHECK(elements.size() == kBeforeItGrows + kMore);
    CHECK_FALSE(has_duplicates(elements));
  }
}

TEST_CASE("rules by thousands are one transaction", "[nftables]") {
  Host host;
  Batch batch;
  for (int at = 0; at < 4000; ++at) batch.append_rule(rule_for("called"));
  host.socket.commit(batch, "add rules");
  CHECK(host.socket.list_rules(kTable, "called").size() == 4000);
  CHECK(host.socket.find_chain(kTable, "called")->use == 4000);
}
