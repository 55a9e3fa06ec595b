#include <sys/mman.h>

#include <algorithm>
#include <catch2/catch.hpp>
#include <list>
#include <stdexcept>
#include <string>
#include <vector>

#include "base/error.h"
#include "netfilter/element_owner.h"
#include "netfilter/native_table.h"
#include "nftables/intervals.h"
#include "support/child.h"
#include "support/snapshot.h"
#include "support/two_namespaces.h"

using namespace cni::netfilter;  // NOLINT(google-build-using-namespace)
using Catch::Contains;
using cni::inet::Address;
using cni::json::Value;
using cni::nftables::Batch;
using cni::nftables::Bytes;
using cni::nftables::Chain;
using cni::nftables::Element;
using cni::nftables::Hook;
using cni::nftables::Rule;
using cni::nftables::Set;
using cni::nftables::TableId;
using cni::nftables::Verdict;
using cni::test::Child;
using cni::test::Host;
using cni::test::Inside;
namespace expr = cni::nftables::expr;

namespace {

const TableId kTable{.family = cni::nftables::Family::kIp4, .name = "plumb_test"};

Set addresses() {
  return {
      .table = kTable, .name = "addresses", .key_length = 4, .key_type = cni::nftables::kTypeIp4};
}

Bytes key(const std::string& address) {
  return cni::nftables::bytes_of(*Address::parse(address));
}

// Packets to members of the set go through a second chain, which counts them.
Layout layout() {
  const auto rule = [](const std::string& chain, std::vector<cni::nftables::Expression> steps) {
    return Rule{.table = kTable, .chain = chain, .expressions = std::move(steps)};
  };
  return {
      .sets = {addresses()},
      .chains = {{.chain = {.table = kTable,
                            .name = "input",
                            .hook = Hook{.type = "filter", .number = 1, .priority = 10}},
                  .rules = {rule("input",
                                 {expr::payload(expr::Header::kNetwork, 16, 4, 0),
                                  expr::lookup("addresses", 0),
                                  expr::verdict({.kind = Verdict::Kind::kJump, .chain = "seen"})}),
                            rule("input", {expr::counter()})}},
                 {.chain = {.table = kTable, .name = "seen"},
                  .rules = {rule("seen", {expr::counter()})}}},
  };
}

Owner owner(const std::string& id, const std::string& ifname = "eth0") {
  return {.network = "net", .container_id = id, .ifname = ifname};
}

// A host of its own with the table in it.
struct Fixture {
  Host host;
  Inside inside{host};
  cni::nftables::Socket socket = cni::nftables::Socket::here();
  NativeTable table{socket, kTable};

  void ensure() {
    Batch batch;
    table.ensure(batch, layout());
    commit(batch);
  }
  void put(const Record& record) {
    Batch batch;
    table.put_record(batch, record);
    commit(batch);
  }
  void remove(const Owner& whose) {
    Batch batch;
    table.delete_record(batch, whose);
    commit(batch);
  }
  void commit(const Batch& batch) { socket.commit(batch, "change the table of the test"); }
  std::size_t element_count() {
    Batch batch;
    std::size_t count = 0;
    for (const Set& set : socket.list_sets(kTable)) {
      if (set.name == "attachments") count = socket.list_elements(set).size();
    }
    return count;
  }
};

}  // namespace

TEST_CASE("a layout is made once and repaired when it is damaged", "[netfilter][nftables]") {
  Fixture test;
  CHECK(test.table.differences(layout()) ==
        std::vector<std::string>{"the nf_tables table ip plumb_test is missing"});
  test.ensure();
  CHECK(test.table.differences(layout()).empty());
  const std::uint32_t generation = test.socket.generation();
  Batch again;
  test.table.ensure(again, layout());
  CHECK(again.empty());
  CHECK(test.socket.generation() == generation);

  Batch batch;
  batch.add_elements(addresses(), std::vector<Element>{{.key = key("10.0.0.1")}});
  test.commit(batch);
  const std::string intact = test.host.run("nft -s list table ip plumb_test");
  INFO(intact);
  struct Damage {
    std::vector<std::string> commands;
    std::string sentence;
  };
  const std::vector<Damage> damages = {
      {{"nft flush chain ip plumb_test seen"},
       "chain \"seen\" of the nf_tables table ip plumb_test "
       "has other rules"},
      {{"nft add rule ip plumb_test input accept"},
       "\"input\" of the nf_tables table ip plumb_test "
       "has other rules"},
      {{"nft insert rule ip plumb_test input drop"}, "\"input\""},
      {{"nft flush chain ip plumb_test input", "nft delete chain ip plumb_test input"},
       "chain \"input\" of the nf_tables table ip plumb_test is missing"},
      {{"nft flush chain ip plumb_test input", "nft delete chain ip plumb_test input",
        "nft add chain ip plumb_test input { type filter hook input priority 11 ; }"},
       "chain \"input\" of the nf_tables table ip plumb_test hangs on another hook"},
      {{"nft add chain ip plumb_test input { policy drop ; }"}, "hangs on another hook"},
      {{"nft flush chain ip plumb_test input", "nft flush chain ip plumb_test seen",
        "nft delete chain ip plumb_test seen"},
       "chain \"seen\" of the nf_tables table ip plumb_test is missing"},
      {{"nft delete set ip plumb_test attachments"},
       "set \"attachments\" of the nf_tables table ip plumb_test is missing"},
  };
  for (const Damage& damage : damages) {
    INFO(damage.commands.back());
    for (const std::string& command : damage.commands) test.host.run(command);
    const auto differences = test.table.differences(layout());
    CHECK(std::ranges::any_of(differences, [&](const std::string& difference) {
      return difference.find(damage.sentence) != std::string::npos;
    }));
    test.ensure();
    CHECK(test.table.differences(layout()).empty());
    CHECK(test.socket.find_element(addresses(), key("10.0.0.1")).has_value());
  }
  // The order of chains and sets may be another one now.
  for (const char* line : {"type filter hook input priority", "ip daddr @addresses jump seen",
                           "elements = { 10.0.0.1 }", "policy accept"}) {
    CHECK_THAT(test.host.run("nft -s list table ip plumb_test"), Contains(line));
  }
  test.host.run("nft flush chain ip plumb_test input");
  test.host.run("nft delete set ip plumb_test addresses");
  test.ensure();
  CHECK(test.table.differences(layout()).empty());
}

TEST_CASE("a set of another kind is named", "[netfilter][nftables]") {
  Fixture test;
  test.host.run("nft add table ip plumb_test");
  test.host.run("nft add set ip plumb_test addresses { type inet_service ; }");
  Batch batch;
  CHECK_THROWS_WITH(test.table.ensure(batch, layout()),
                    "set \"addresses\" of the nf_tables table ip plumb_test is of another kind");
  CHECK_THAT(test.table.differences(layout())[1], Contains("\"addresses\"") && Contains("kind"));
}

TEST_CASE("a record is what was put, whatever its length", "[netfilter][nftables]") {
  Fixture test;
  CHECK_FALSE(test.table.find_record(owner("c1")));
  CHECK(test.table.list_records().empty());
  test.ensure();
  CHECK_FALSE(test.table.find_record(owner("c1")));
  for (const std::size_t length : {std::size_t{0}, std::size_t{10}, std::size_t{239},
                                   std::size_t{240}, std::size_t{241}, std::size_t{20'000}}) {
    INFO(length);
    const Record record{.owner = owner("c1"),
                        .content = {{"text", std::string(length, 'x')}, {"port", 8080}}};
    test.put(record);
    const auto found = test.table.find_record(owner("c1"));
    REQUIRE(found);
    CHECK(found->owner == record.owner);
    CHECK(found->content == record.content);
    // The same once more is no change.
    Batch again;
    test.table.put_record(again, record);
    CHECK(again.empty());
  }
  const auto renamed =
      test.table.find_record({.network = "renamed", .container_id = "c1", .ifname = "eth0"});
  REQUIRE(renamed);
  CHECK(renamed->owner.network == "net");
  CHECK_FALSE(test.table.find_record(owner("c1", "eth1")));

  // A short one in place of a long one leaves nothing of it.
  test.put({.owner = owner("c1"), .content = "short"});
  CHECK(test.element_count() == 2);
  test.remove(owner("c1"));
  CHECK(test.element_count() == 0);
  CHECK_FALSE(test.table.find_record(owner("c1")));
  Batch none;
  test.table.delete_record(none, owner("c1"));
  CHECK(none.empty());
}

TEST_CASE("a thousand records are told apart", "[netfilter][nftables]") {
  Fixture test;
  test.ensure();
  constexpr int kCount = 1000;
  Batch batch;
  for (int at = 0; at < kCount; ++at) {
    test.table.put_record(batch, {.owner = owner("c" + std::to_string(at)), .content = at});
  }
  test.commit(batch);
  const auto records = test.table.list_records();
  REQUIRE(records.size() == kCount);
  for (const Record& record : records) {
    CHECK(record.owner.container_id == "c" + std::to_string(record.content.get<int>()));
  }
  test.remove(owner("c500"));
  CHECK(test.table.list_records().size() == kCount - 1);
  CHECK_FALSE(test.table.find_record(owner("c500")));
  CHECK(test.table.find_record(owner("c501"))->content == 501);
}

TEST_CASE("a record that lost a part is none, and is replaced", "[netfilter][nftables]") {
  Fixture test;
  test.ensure();
  std::string text;
  for (int at = 0; at < 300; ++at) text += std::to_string(at);
  const Record record{.owner = owner("c1"), .content = text};
  test.put(record);
  test.put({.owner = owner("c2"), .content = 2});
  const std::size_t whole = test.element_count();
  Set records;
  for (const Set& set : test.socket.list_sets(kTable)) {
    if (set.name == "attachments") records = set;
  }
  std::vector<Element> of_c1 = test.socket.list_elements(records);
  const auto head = std::ranges::find_if(
      of_c1, [](const Element& element) { return is_owned_by(element, owner("c1")); });
  REQUIRE(head != of_c1.end());
  const Bytes slot(head->key.begin(), head->key.begin() + 16);
  std::erase_if(of_c1, [&](const Element& element) {
    return !std::equal(slot.begin(), slot.end(), element.key.begin());
  });
  REQUIRE(of_c1.size() == whole - 2);
  REQUIRE(of_c1.size() > 3);
  for (const Element& lost : of_c1) {
    Batch batch;
    batch.delete_elements(records, std::vector<Element>{lost});
    test.commit(batch);
    CHECK_FALSE(test.table.find_record(owner("c1")));
    CHECK(test.table.list_records().size() == 1);
    test.put(record);
    CHECK(test.table.find_record(owner("c1"))->content == record.content);
    CHECK(test.element_count() == whole);
  }
  // All parts are there, two of them in each other's place.
  Batch batch;
  batch.delete_elements(records, of_c1);
  std::swap(of_c1[0].user_data, of_c1[1].user_data);
  batch.add_elements(records, of_c1);
  test.commit(batch);
  CHECK_FALSE(test.table.find_record(owner("c1")));
  CHECK(test.table.list_records().size() == 1);
  test.remove(owner("c1"));
  CHECK(test.element_count() == 2);
}

TEST_CASE("what went to another owner is not taken out for the first one",
          "[netfilter][nftables]") {
  Fixture test;
  test.ensure();
  const std::vector<Bytes> keys = {key("10.0.0.1"), key("10.0.0.2"), key("10.0.0.3")};
  const auto element = [&](std::size_t at, const Owner& whose) {
    return Element{.key = keys[at], .user_data = owner_mark(whose)};
  };
  Batch first;
  first.add_elements(addresses(),
                     std::vector<Element>{element(0, owner("A")), element(1, owner("A"))});
  test.commit(first);
  Batch second;
  second.delete_elements(addresses(), std::vector<Element>{element(1, owner("A"))});
  second.add_elements(addresses(),
                      std::vector<Element>{element(1, owner("B")), element(2, owner("B"))});
  test.commit(second);

  const auto of_a = test.table.find_owned(addresses(), keys, owner("A"));
  REQUIRE(of_a.size() == 1);
  CHECK(of_a[0].key == keys[0]);
  Batch third;
  third.delete_elements(addresses(), of_a);
  test.commit(third);
  CHECK(test.table.find_owned(addresses(), keys, owner("B")).size() == 2);
  CHECK(test.socket.list_elements(addresses()).size() == 2);
}

TEST_CASE("a shared chain goes with the last that refers to it", "[netfilter][nftables]") {
  Fixture test;
  test.ensure();
  const Set extra{.table = kTable,
                  .name = "networks",
                  .key_length = 4,
                  .key_type = cni::nftables::kTypeIp4,
                  .interval = true};
  const Set targets{.table = kTable,
                    .name = "targets",
                    .key_length = 4,
                    .key_type = cni::nftables::kTypeIp4,
                    .data = Set::Data::kVerdict};
  const auto target = [&](const std::string& address) {
    return Element{.key = key(address),
                   .verdict = Verdict{.kind = Verdict::Kind::kJump, .chain = "shared"}};
  };
  Batch batch;
  batch.ensure_set(extra);
  batch.ensure_set(targets);
  batch.add_elements(extra,
                     cni::nftables::interval_elements({*cni::inet::Network::parse("10.0.0.0/8")}));
  batch.ensure_chain({.table = kTable, .name = "shared"});
  batch.append_rule({.table = kTable,
                     .chain = "shared",
                     .expressions = {expr::payload(expr::Header::kNetwork, 16, 4, 0),
                                     expr::lookup("networks", 0), expr::counter()}});
  batch.append_rule({.table = kTable, .chain = "shared", .expressions = {expr::counter()}});
  const std::vector<Element> both = {target("10.0.0.1"), target("10.0.0.2")};
  batch.add_elements(targets, both);
  test.commit(batch);

  for (const bool last : {false, true}) {
    INFO(last);
    Batch removal;
    removal.delete_elements(targets, std::span(both).subspan(last ? 1 : 0, 1));
    test.table.delete_shared_chain_unless_used(removal, "shared", 1, {"networks"});
    test.commit(removal);
    CHECK(test.socket.find_chain(kTable, "shared").has_value() == !last);
    CHECK(test.socket.has_set(kTable, "networks") == !last);
  }
  Batch absent;
  test.table.delete_shared_chain_unless_used(absent, "shared", 1, {"networks"});
  CHECK(absent.empty());
}

TEST_CASE("a table goes with its last record", "[netfilter][nftables]") {
  Fixture test;
  const auto before = cni::test::Snapshot::take(test.host.path());
  test.table.delete_if_unused();  // nothing is there
  test.ensure();
  test.put({.owner = owner("c1"), .content = 1});
  test.put({.owner = owner("c2"), .content = 2});
  test.remove(owner("c1"));
  test.table.delete_if_unused();
  CHECK(test.socket.find_table(kTable).has_value());
  test.remove(owner("c2"));
  test.table.delete_if_unused();
  CHECK_FALSE(test.socket.find_table(kTable).has_value());
  CHECK(difference(before, cni::test::Snapshot::take(test.host.path())) == "");
}

namespace {

// What the processes of a storm know of each other.
struct Shared {
  int last_owner = 0;  // 0: nobody has the key
};

void require(bool condition, const char* what) {
  if (!condition) throw std::runtime_error(what);
}

// Takes the key, whoever has it, and some time later gives it back if it still has it.
std::string take_turns(int number, Shared& shared) {
  auto socket = cni::nftables::Socket::here();
  NativeTable table(socket, kTable);
  const std::vector<Bytes> keys = {key("10.0.0.1")};
  const Owner me = owner("c" + std::to_string(number));
  const auto check_state = [&] {
    const auto found = socket.find_element(addresses(), keys[0]);
    require(found.has_value() == (shared.last_owner != 0), "the element is there or not");
    require(!found || is_owned_by(*found, owner("c" + std::to_string(shared.last_owner))),
            "the element is of the last that took it");
  };
  for (int round = 0; round < 12; ++round) {
    {
      const auto lock = lock_native_tables();
      check_state();
      Batch batch;
      table.ensure(batch, layout());
      if (const auto found = socket.find_element(addresses(), keys[0])) {
        batch.delete_elements(addresses(), std::vector<Element>{*found});
      }
      batch.add_elements(addresses(),
                         std::vector<Element>{{.key = keys[0], .user_data = owner_mark(me)}});
      table.put_record(batch, {.owner = me, .content = round});
      socket.commit(batch, "take the key");
      shared.last_owner = number;
    }
    require(table.find_record(me)->content == round, "the record is there without the lock");
    {
      const auto lock = lock_native_tables();
      check_state();
      Batch batch;
      const auto owned = table.find_owned(addresses(), keys, me);
      require(owned.empty() == (shared.last_owner != number), "only the own element is taken out");
      if (!owned.empty()) {
        batch.delete_elements(addresses(), owned);
        shared.last_owner = 0;
      }
      table.delete_record(batch, me);
      socket.commit(batch, "give the key back");
      table.delete_if_unused();
    }
  }
  return "done";
}

}  // namespace

TEST_CASE("a storm of processes that take a key from each other ends with nothing",
          "[netfilter][nftables]") {
  constexpr int kProcesses = 16;
  Fixture test;
  const auto before = cni::test::Snapshot::take(test.host.path());
  void* memory =
      ::mmap(nullptr, sizeof(Shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  REQUIRE(memory != MAP_FAILED);
  auto& shared = *new (memory) Shared;
  {
    std::list<Child> processes;
    for (int number = 1; number <= kProcesses; ++number) {
      processes.emplace_back([&shared, number] { return take_turns(number, shared); });
    }
    for (Child& process : processes) CHECK(process.wait() == "done");
  }
  CHECK(shared.last_owner == 0);
  ::munmap(memory, sizeof(Shared));
  CHECK(difference(before, cni::test::Snapshot::take(test.host.path())) == "");
}

TEST_CASE("what somebody has taken away since the look is looked for anew", "[netfilter]") {
  Host host;
  const Inside inside{host};
  cni::nftables::Socket socket = cni::nftables::Socket::here();
  NativeTable table(socket, kTable);
  Batch first;
  table.ensure(first, layout());
  const Element element{.key = key("10.1.2.3")};
  first.add_elements(addresses(), std::array{element});
  socket.commit(first, "make the table");

  int looks = 0;
  const auto remove = [&] {
    Batch batch;
    const bool there = socket.find_element(addresses(), element.key).has_value();
    if (++looks == 1) {
      REQUIRE(there);
      Batch flush;
      flush.delete_table(kTable);
      socket.commit(flush, "flush, as others do");
    }
    if (there) batch.delete_elements(addresses(), std::array{element});
    return batch;
  };
  CHECK(commit_prepared(socket, "remove the element", remove) == 0);
  CHECK(looks == 2);

  const auto hopeless = [&] {
    Batch batch;
    batch.delete_table(kTable);
    return batch;
  };
  CHECK_THROWS_AS(commit_prepared(socket, "delete nothing", hopeless), cni::netlink::KernelError);
  CHECK(commit_prepared(socket, "delete nothing", hopeless, {ENOENT}) == ENOENT);
}
