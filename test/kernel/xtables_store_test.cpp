// What holds for every store of xtables rules, with the tools of that store as judges.
#include <catch2/catch.hpp>
#include <functional>
#include <memory>
#include <random>
#include <stdexcept>
#include <string>
#include <vector>

#include "base/error.h"
#include "kernel/xtables_bench.h"
#include "support/child.h"
#include "support/snapshot.h"
#include "xtables/table.h"

using Catch::Contains;
using namespace cni::xtables;  // NOLINT(google-build-using-namespace)
using cni::inet::Address;
using cni::inet::Family;
using cni::test::Bench;
using cni::test::commented;
using cni::test::comments;
using cni::test::Snapshot;
using cni::test::TestedStore;

namespace {

void keeps_order(Bench& bench) {
  bench.make_chains();
  bench.change([](Table& table) {
    for (const char* text : {"b", "d"}) table.append("TEST", commented(text));
    table.insert("TEST", 1, commented("c"));
    table.insert("TEST", 0, commented("a"));
    table.insert("TEST", 4, commented("e"));
    CHECK(comments(table, "TEST") == "abcde");
  });
  CHECK(comments(*bench.find(), "TEST") == "abcde");

  bench.change([](Table& table) {
    table.insert("TEST", 2, commented("1"));
    table.insert("TEST", 3, commented("2"));
    table.insert("TEST", 0, commented("0"));
    table.erase("TEST", 5);  // c
    table.append("TEST", commented("9"));
    CHECK(comments(table, "TEST") == "0ab12de9");
  });
  CHECK(comments(*bench.find(), "TEST") == "0ab12de9");
  CHECK(bench.listed("TEST").at(3) == "-m comment --comment 1 -j ACCEPT");

  // The tool counts as we do.
  bench.tool("-t nat -I TEST 3 -m comment --comment X -j ACCEPT");
  CHECK(comments(*bench.find(), "TEST") == "0aXb12de9");
}

// Many changes at once, compared with a plain list.
void keeps_order_at_random(Bench& bench) {
  bench.make_chains();
  std::vector<std::string> expected;
  std::mt19937 random(4711);
  const auto below = [&](std::size_t end) {
    return std::uniform_int_distribution<std::size_t>(0, end - 1)(random);
  };
  int number = 0;
  for (int round = 0; round < 15; ++round) {
    // A change may be asked for twice, so it is made up before.
    std::vector<std::function<void(Table&)>> steps;
    for (std::size_t step = below(12); step > 0; --step) {
      if (!expected.empty() && below(5) < 2) {
        const std::size_t position = below(expected.size());
        steps.emplace_back([position](Table& table) { table.erase("TEST", position); });
        expected.erase(expected.begin() + static_cast<std::ptrdiff_t>(position));
      } else if (!expected.empty() && below(40) == 0) {
        steps.emplace_back([](Table& table) { table.flush("TEST"); });
        expected.clear();
      } else if (below(2) == 0) {
        const std::string text = "," + std::to_string(++number);
        steps.emplace_back([=](Table& table) { table.append("TEST", commented(text)); });
        expected.push_back(text);
      } else {
        const std::size_t position = below(expected.size() + 1);
        const std::string text = "," + std::to_string(++number);
        steps.emplace_back([=](Table& table) { table.insert("TEST", position, commented(text)); });
        expected.insert(expected.begin() + static_cast<std::ptrdiff_t>(position), text);
      }
    }
    bench.change([&](Table& table) {
      for (const auto& step : steps) step(table);
    });
    std::string all;
    for (const std::string& text : expected) all += text;
    REQUIRE(comments(*bench.find(), "TEST") == all);
  }
}

void counts_references(Bench& bench) {
  bench.make_chains();
  for (const char* rule : {"POSTROUTING -j TEST", "OTHER -g TEST", "OTHER -j ACCEPT",
                           "TEST -j ACCEPT", "TEST -j RETURN"}) {
    bench.tool(std::string("-t nat -A ") + rule);
  }
  CHECK(bench.find()->references("TEST") == 2);
  bench.change([](Table& table) {
    CHECK(table.references("NONE") == 0);
    CHECK(table.references("OTHER") == 0);
    table.ensure_chain("NEW");
    CHECK(table.references("NEW") == 0);
    table.append("NEW", commented("a", Jump{"TEST"}));
    table.append("PREROUTING", commented("b", Jump{"NEW"}));
    CHECK(table.references("TEST") == 3);
    CHECK(table.references("NEW") == 1);
    table.insert("OTHER", 0, commented("c", Jump{"TEST"}));
    CHECK(table.references("TEST") == 4);
    table.erase("POSTROUTING", 0);
    CHECK(table.references("TEST") == 3);
    table.append("TEST", commented("d"));
    table.erase("TEST", 0);
    CHECK(table.references("TEST") == 3);
    table.flush("OTHER");
    CHECK(table.references("TEST") == 1);
  });
  CHECK(bench.find()->references("TEST") == 1);
  CHECK(bench.find()->references("NEW") == 1);
  bench.change([](Table& table) {
    CHECK(table.delete_chain_if_exists("NEW", {"PREROUTING"}));
    CHECK(table.references("NEW") == 0);
    CHECK(table.references("TEST") == 0);
    table.delete_chain("TEST");
    table.ensure_chain("TEST");
    CHECK(table.references("TEST") == 0);
    CHECK(table.rules("TEST").empty());
  });
  CHECK(bench.find()->references("TEST") == 0);
}

void reads_without_side_effects(Bench& bench) {
  const Snapshot before = bench.snapshot();
  CHECK(bench.find() == nullptr);
  CHECK(bench.find("filter") == nullptr);
  CHECK(bench.find("mangle") == nullptr);
  CHECK(difference(before, bench.snapshot()) == "");
}

void leaves_nothing_behind_without_change(Bench& bench) {
  bench.tool("-t nat -N TEST");
  const Snapshot before = bench.snapshot();
  bench.change([](Table& table) {
    CHECK_FALSE(table.has_chain("NONE"));
    CHECK(table.rules("NONE").empty());
    CHECK_FALSE(table.delete_chain_if_exists("NONE", {"POSTROUTING", "NONE"}));
    table.ensure_chain("TEST");
    CHECK(table.erase_if("POSTROUTING", [](const StoredRule&) { return true; }) == 0);
    CHECK_FALSE(table.changed());
  });
  CHECK(difference(before, bench.snapshot()) == "");
}

void makes_built_in_chains(Bench& bench) {
  bench.change([](Table& table) {
    table.ensure_chain("TEST");
    for (const char* chain : {"PREROUTING", "OUTPUT", "POSTROUTING"}) {
      table.append(chain, {.target = Jump{"TEST"}});
    }
    CHECK(table.chains() == std::vector<std::string>{"TEST"});
  });
  bench.change(
      [](Table& table) {
        for (const char* chain : {"INPUT", "FORWARD", "OUTPUT"}) {
          table.append(chain, {.target = Drop{}});
        }
      },
      "filter");
  for (const char* chain : {"PREROUTING", "OUTPUT", "POSTROUTING"}) {
    CHECK(bench.listed(chain) == std::vector<std::string>{"-j TEST"});
    bench.tool(std::string("-t nat -A ") + chain + " -j ACCEPT");
    CHECK(bench.find()->rules(chain).size() == 2);
  }
  for (const char* chain : {"INPUT", "FORWARD", "OUTPUT"}) {
    CHECK(bench.listed(chain, "filter") == std::vector<std::string>{"-j DROP"});
    CHECK(bench.find("filter")->rules(chain).at(0).rule == Rule{.target = Drop{}});
    bench.tool(std::string("-t filter -P ") + chain + " ACCEPT");
  }
}

void keeps_policies(Bench& bench) {
  bench.tool("-P FORWARD DROP");
  bench.tool("-A INPUT -j ACCEPT");
  CHECK(bench.find("filter")->drops_by_policy("FORWARD"));
  CHECK_FALSE(bench.find("filter")->drops_by_policy("INPUT"));
  CHECK_FALSE(bench.find("filter")->drops_by_policy("NONE"));
  bench.change([](Table& table) { table.append("FORWARD", commented("x")); }, "filter");
  CHECK(bench.find("filter")->drops_by_policy("FORWARD"));
  CHECK_THAT(bench.tool("-S FORWARD"), Contains("-P FORWARD DROP"));
}

void deletes_chains(Bench& bench) {
  bench.change([](Table& table) {
    for (const char* chain : {"ONE", "TWO", "KEPT"}) table.ensure_chain(chain);
    table.append("ONE", {.target = Jump{"TWO"}});
    table.append("KEPT", {.target = Accept{}});
    for (const char* chain : {"ONE", "KEPT", "ONE"}) {
      table.append("POSTROUTING", {.target = Jump{chain}});
    }
  });
  SECTION("with the jumps to them") {
    bench.change([](Table& table) {
      CHECK(table.delete_chain_if_exists("ONE", {"POSTROUTING"}));
      CHECK(table.delete_chain_if_exists("TWO", {}));
      CHECK_FALSE(table.has_chain("ONE"));
      CHECK(table.rules("ONE").empty());
    });
    CHECK(bench.find()->chains() == std::vector<std::string>{"KEPT"});
    CHECK(bench.listed("POSTROUTING") == std::vector<std::string>{"-j KEPT"});
    CHECK(bench.listed("KEPT") == std::vector<std::string>{"-j ACCEPT"});
  }
  SECTION("not while another jump is left, and then nothing else happens either") {
    const Snapshot before = bench.snapshot();
    CHECK_THROWS_AS(bench.change([](Table& table) {
      table.append("KEPT", {.target = Drop{}});
      table.ensure_chain("NEW");
      table.delete_chain("TWO");
    }),
                    cni::SystemError);
    CHECK(difference(before, bench.snapshot()) == "");
  }
  SECTION("and makes them anew in the same step") {
    bench.change([](Table& table) {
      table.delete_chain("KEPT");
      table.ensure_chain("KEPT");
      CHECK(table.rules("KEPT").empty());
      table.append("KEPT", commented("new"));
    });
    CHECK(comments(*bench.find(), "KEPT") == "new");
    CHECK(bench.find()->rules("KEPT").size() == 1);
    CHECK(bench.listed("POSTROUTING").size() == 3);
  }
  SECTION("that were made in the same step") {
    const Snapshot before = bench.snapshot();
    bench.change([](Table& table) {
      table.ensure_chain("NEW");
      table.append("NEW", commented("new"));
      table.delete_chain("NEW");
      CHECK_FALSE(table.has_chain("NEW"));
    });
    CHECK(difference(before, bench.snapshot()) == "");
  }
  SECTION("after emptying them") {
    bench.change([](Table& table) { table.flush("ONE"); });
    CHECK(bench.find()->rules("ONE").empty());
    bench.change([](Table& table) {
      table.flush("KEPT");
      table.append("KEPT", commented("instead"));
    });
    CHECK(comments(*bench.find(), "KEPT") == "instead");
    CHECK(bench.find()->rules("KEPT").size() == 1);
  }
}

void refuses_mistakes(Bench& bench) {
  bench.make_chains();
  const Snapshot before = bench.snapshot();
  bench.change([](Table& table) {
    CHECK_THROWS_AS(table.append("NONE", commented("x")), cni::SystemError);
    CHECK_THROWS_WITH(table.append("NONE", commented("x")),
                      Contains("chain NONE") && Contains("no such file or directory"));
    CHECK_THROWS_WITH(table.append("TEST", {.target = Jump{"NONE"}}),
                      Contains("chain NONE") && Contains("no such file or directory"));
    CHECK_THROWS_AS(table.ensure_chain(std::string(29, 'C')), cni::SystemError);
    CHECK_THROWS_AS(table.flush("NONE"), cni::SystemError);
    CHECK_THROWS_AS(table.delete_chain("NONE"), cni::SystemError);
    CHECK_THROWS_AS(table.erase("TEST", 0), std::out_of_range);
    CHECK_THROWS_AS(table.insert("TEST", 1, commented("x")), std::out_of_range);
    CHECK_THROWS_AS(table.append("TEST", commented(std::string(256, 'x'))), std::invalid_argument);
    CHECK_THROWS_AS(table.delete_chain("POSTROUTING"), cni::SystemError);
    CHECK_FALSE(table.changed());
  });
  // Only PREROUTING and OUTPUT may rewrite destinations.
  const bool ipv4 = bench.family() == Family::kIpv4;
  CHECK_THROWS_AS(bench.change([&](Table& table) {
    table.append("POSTROUTING",
                 {.target = DestinationNat{*Address::parse(ipv4 ? "10.0.0.1" : "fd00::1"), 0}});
  }),
                  cni::SystemError);
  // What `change` throws comes through, and nothing is committed.
  CHECK_THROWS_WITH(bench.change([](Table& table) {
    table.append("TEST", commented("x"));
    throw std::runtime_error("changed my mind");
  }),
                    "changed my mind");
  CHECK(difference(before, bench.snapshot()) == "");
}

// What goes wrong in `jobs`, each in a process of its own, all at once.
std::string failures_at_once(const std::vector<std::function<void()>>& jobs) {
  std::vector<std::unique_ptr<cni::test::Child>> children;
  for (const auto& job : jobs) {
    children.push_back(std::make_unique<cni::test::Child>([&] {
      job();
      return std::string();
    }));
  }
  std::string failures;
  for (const auto& child : children) failures += child->wait();
  return failures;
}

void stands_writers_at_once(const TestedStore& tested, Bench& bench) {
  constexpr int kWriters = 20;
  const auto own_chain = [](int i) { return "OWN-" + std::to_string(i); };
  std::vector<std::function<void()>> adds;
  std::vector<std::function<void()>> deletions;
  for (int i = 0; i < kWriters; ++i) {
    adds.emplace_back([&, i] {
      tested.open()->change(bench.family(), "nat", [&](Table& table) {
        table.ensure_chain("SHARED");
        table.ensure_chain(own_chain(i));
        table.ensure_first("POSTROUTING", commented("shared", Jump{"SHARED"}));
        table.ensure_appended("SHARED", commented("own", Jump{own_chain(i)}));
        table.ensure_appended(own_chain(i), commented("x"));
      });
    });
    deletions.emplace_back([&, i] {
      tested.open()->change(bench.family(), "nat", [&](Table& table) {
        table.delete_chain_if_exists(own_chain(i), {"SHARED"});
      });
    });
  }
  // Other people's work in between.
  for (auto* jobs : {&adds, &deletions}) {
    for (int i = 0; i < 3; ++i) {
      jobs->emplace_back([&] { bench.tool("-w -t nat -A OUTPUT -j ACCEPT"); });
    }
  }

  CHECK(failures_at_once(adds) == "");
  const auto table = bench.find();
  CHECK(table->rules("POSTROUTING").size() == 1);
  CHECK(table->rules("SHARED").size() == kWriters);
  CHECK(table->chains().size() == kWriters + 1);
  CHECK(table->rules("OUTPUT").size() == 3);
  for (int i = 0; i < kWriters; ++i) CHECK(table->rules(own_chain(i)).size() == 1);

  CHECK(failures_at_once(deletions) == "");
  const auto after = bench.find();
  CHECK(after->chains() == std::vector<std::string>{"SHARED"});
  CHECK(after->rules("POSTROUTING").size() == 1);
  CHECK(after->rules("SHARED").empty());
  CHECK(after->rules("OUTPUT").size() == 6);
}

void test_store(const TestedStore& tested) {
  const Family family = GENERATE(Family::kIpv4, Family::kIpv6);
  INFO(name(family));
  Bench bench(tested, family);
  SECTION("keeps the order of rules") {
    keeps_order(bench);
  }
  SECTION("keeps the order of rules, at random") {
    keeps_order_at_random(bench);
  }
  SECTION("counts what jumps to a chain") {
    counts_references(bench);
  }
  SECTION("reads without side effects") {
    reads_without_side_effects(bench);
  }
  SECTION("leaves nothing behind without a change") {
    leaves_nothing_behind_without_change(bench);
  }
  SECTION("makes built-in chains") {
    makes_built_in_chains(bench);
  }
  SECTION("keeps policies") {
    keeps_policies(bench);
  }
  SECTION("deletes chains") {
    deletes_chains(bench);
  }
  SECTION("refuses mistakes") {
    refuses_mistakes(bench);
  }
  SECTION("stands writers at once") {
    stands_writers_at_once(tested, bench);
  }
}

}  // namespace

TEST_CASE("the iptables dialect of nf_tables is a store", "[xtables][iptables-nft][ipv6]") {
  test_store(cni::test::kDialectStore);
}

TEST_CASE("the legacy tables are a store", "[xtables][iptables-legacy][ipv6]") {
  test_store(cni::test::kLegacyStore);
}
