// What holds for every store of xtables rules, with the tools of that store as judges.
#include <algorithm>
#include <catch2/catch.hpp>
#include <functional>
#include <memory>
#include <random>
#include <sstream>
#include <stdexcept>
#include <string>
#include <vector>

#include "base/error.h"
#include "support/child.h"
#include "support/sandbox.h"
#include "support/snapshot.h"
#include "support/two_namespaces.h"
#include "xtables/table.h"

using Catch::Contains;
using namespace cni::xtables;  // NOLINT(google-build-using-namespace)
using cni::inet::Address;
using cni::inet::Family;
using cni::inet::Network;
using cni::test::Host;
using cni::test::Inside;
using cni::test::run;
using cni::test::Snapshot;

namespace {

constexpr std::uint8_t kTcp = 6;
constexpr std::uint8_t kUdp = 17;
constexpr std::uint8_t kSctp = 132;

struct TestedStore {
  std::unique_ptr<Store> (*open)();
  std::string flavour;  // of the tools: iptables-<flavour>
};

// A host, its store, and the tools that share the store. The store is opened for one step each
// time: the legacy one keeps others out until its end.
class Bench {
 public:
  Bench(const TestedStore& store, Family family)
      : family_(family), flavour_(store.flavour), open_(store.open), inside_(host_) {}

  const Host& host() const { return host_; }
  Family family() const { return family_; }

  cni::test::Outcome try_tool(const std::string& arguments, const std::string& suffix = "") const {
    const std::string name =
        (family_ == Family::kIpv4 ? "iptables-" : "ip6tables-") + flavour_ + suffix;
    return run({.argv = {"sh", "-c", name + " " + arguments}});
  }

  // `arguments` as a shell reads them.
  std::string tool(const std::string& arguments, const std::string& suffix = "") const {
    const auto outcome = try_tool(arguments, suffix);
    if (outcome.status != 0) throw std::runtime_error(arguments + "\n" + outcome.text());
    return outcome.out;
  }

  // The rules of a chain as the tool prints them, without "-A <chain> ".
  std::vector<std::string> listed(const std::string& chain,
                                  const std::string& table = "nat") const {
    std::istringstream output(tool("-t " + table, "-save"));
    std::vector<std::string> rules;
    const std::string prefix = "-A " + chain + " ";
    for (std::string line; std::getline(output, line);) {
      if (line.starts_with(prefix)) rules.push_back(line.substr(prefix.size()));
    }
    return rules;
  }

  void change(const std::function<void(Table&)>& change, const std::string& table = "nat") {
    open_()->change(family_, table, change);
  }

  std::unique_ptr<const Table> find(const std::string& table = "nat") {
    return open_()->find(family_, table);
  }

  Snapshot snapshot() const { return Snapshot::take(host_.path()); }

 private:
  Host host_;
  Family family_;
  std::string flavour_;
  std::unique_ptr<Store> (*open_)();
  Inside inside_;
};

Rule commented(const std::string& text, const Target& target = Accept{}) {
  return {.matches = {Comment{text}}, .target = target};
}

// The comments of a chain, one after the other.
std::string comments(const Table& table, const std::string& chain) {
  std::string text;
  for (const StoredRule& stored : table.rules(chain)) text += stored.comment;
  return text;
}

// Every kind of condition and target (but DROP, which table nat is not for), alone and as our
// recipes put them together. They go to a chain "TEST" that may jump to "OTHER".
std::vector<Rule> all_kinds(Family family) {
  const bool ipv4 = family == Family::kIpv4;
  const auto address = [&](const char* four, const char* six) {
    return *Address::parse(ipv4 ? four : six);
  };
  const auto network = [&](const char* four, const char* six) {
    return *Network::parse(ipv4 ? four : six);
  };
  const Address host = address("10.0.0.2", "fd00::2");
  const Network whole_bytes = network("10.1.2.0/24", "fd00:1:2::/64");
  const Network odd = network("224.0.0.0/4", "fc00::/7");
  const Rule ports{
      .protocol = kTcp, .destination_ports = PortRange{8080, 8080}, .target = Accept{}};
  const auto with_protocol = [](Rule rule, std::uint8_t protocol) {
    rule.protocol = protocol;
    return rule;
  };
  return {
      {.target = Accept{}},
      {.target = Return{}},
      {.target = Jump{"OTHER"}},
      {.target = SetMark{0x2000, 0x2000}},
      {.target = SetMark{0x1, 0xffffffff}},
      {.protocol = kTcp, .target = DestinationNat{host, 80}},
      {.protocol = kUdp, .target = DestinationNat{host, 53}},
      {.protocol = kSctp, .target = DestinationNat{host, 80}},
      {.target = DestinationNat{host, 0}},
      {.target = SourceNat{host, host}},
      {.target = SourceNat{host, host.next(), true, false}},
      {.target = SourceNat{host, host, false, true}},
      {.target = Masquerade{}},
      {.target = Masquerade{.fully_random = true}},
      {.source = AddressMatch{Network::host(host)}, .target = Jump{"OTHER"}},
      {.source = AddressMatch{whole_bytes}, .target = Accept{}},
      {.source = AddressMatch{odd, true}, .target = Accept{}},
      {.destination = AddressMatch{Network::host(host), true}, .target = Accept{}},
      {.destination = AddressMatch{whole_bytes, true}, .target = Accept{}},
      {.destination = AddressMatch{odd}, .target = Accept{}},
      {.destination = AddressMatch{network("128.0.0.0/1", "8000::/1")}, .target = Accept{}},
      {.destination = AddressMatch{network("10.1.2.2/31", "fd00::2/127")}, .target = Accept{}},
      {.destination = AddressMatch{odd, true},
       .matches = {Comment{"name: \"net1\" id: \"cont1\""}},
       .target = Masquerade{}},
      {.in = InterfaceMatch{"cni0"},
       .out = InterfaceMatch{"cni0", true},
       .matches = {Comment{"CNI isolation"}},
       .target = Jump{"OTHER"}},
      {.in = InterfaceMatch{"eth+", true}, .out = InterfaceMatch{"veth+"}, .target = Return{}},
      {.in = InterfaceMatch{"fifteen-letters"}, .target = Return{}},
      ports,
      with_protocol(ports, kUdp),
      with_protocol(ports, kSctp),
      {.protocol = kTcp, .source_ports = PortRange{7, 7}, .target = Accept{}},
      {.protocol = kUdp,
       .source_ports = PortRange{7, 7},
       .destination_ports = PortRange{8, 8},
       .target = Accept{}},
      {.protocol = kTcp,
       .source_ports = PortRange{7, 9},
       .destination_ports = PortRange{8, 8},
       .target = Accept{}},
      {.protocol = kUdp, .destination_ports = PortRange{1024, 65535}, .target = Accept{}},
      {.protocol = kTcp, .destination_ports = PortRange{0, 0}, .target = Accept{}},
      {.protocol = kSctp,
       .source_ports = PortRange{1, 2},
       .destination_ports = PortRange{3, 4},
       .target = Accept{}},
      {.source = AddressMatch{whole_bytes},
       .destination = AddressMatch{Network::host(host)},
       .protocol = kTcp,
       .destination_ports = PortRange{8083, 8083},
       .target = Jump{"OTHER"}},
      {.protocol = 47, .target = Accept{}},
      commented("one two"),
      commented(std::string(255, 'x')),
      commented("CNI portfwd masquerade mark", SetMark{0x2000, 0x2000}),
      {.matches = {ToLocalAddress{}}, .target = Jump{"OTHER"}},
      {.protocol = kTcp,
       .matches = {Comment{"dnat name: \"test\" id: \"cid0001\""}, DestinationPorts{{8080, 8083}}},
       .target = Jump{"OTHER"}},
      {.protocol = kSctp,
       .matches = {DestinationPorts{{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15}}},
       .target = Accept{}},
      {.source = AddressMatch{whole_bytes},
       .protocol = kUdp,
       .matches = {Comment{"c"}, DestinationPorts{{53}}},
       .target = Jump{"OTHER"}},
      {.matches = {MarkMatch{0x2000, 0x2000}}, .target = Masquerade{}},
      {.matches = {MarkMatch{5, 0xffffffff}}, .target = Accept{}},
      {.matches = {MarkMatch{0, 0x4000}}, .target = Accept{}},
      {.destination = AddressMatch{Network::host(host)},
       .matches = {ConntrackState{2 | 4}},
       .target = Accept{}},
      {.matches = {ConntrackState{1}}, .target = Return{}},
  };
}

void require_test_chains(Bench& bench) {
  bench.change([](Table& table) {
    table.ensure_chain("TEST");
    table.ensure_chain("OTHER");
  });
}

// --- the cases

void writes_what_tools_know(Bench& bench) {
  const std::vector<Rule> rules = all_kinds(bench.family());
  bench.change([&](Table& table) {
    table.ensure_chain("TEST");
    table.ensure_chain("OTHER");
    for (const Rule& rule : rules) table.append("TEST", rule);
  });

  std::vector<std::string> expected;
  for (const Rule& rule : rules) expected.push_back(render(rule));
  CHECK(bench.listed("TEST") == expected);

  const auto table = bench.find();
  REQUIRE(table != nullptr);
  REQUIRE(table->rules("TEST").size() == rules.size());
  for (std::size_t i = 0; i < rules.size(); ++i) {
    INFO(render(rules[i]));
    const StoredRule& stored = table->rules("TEST")[i];
    CHECK(stored.rule == rules[i]);
    CHECK(stored.jump_target == rules[i].jump_target());
    CHECK(stored.comment == rules[i].comment());
    CHECK(bench.try_tool("-t nat -C TEST " + render(rules[i])).status == 0);
  }
  // From the end, so that each is found by its content and not as the first one.
  for (auto rule = rules.rbegin(); rule != rules.rend(); ++rule) {
    INFO(render(*rule));
    CHECK(bench.try_tool("-t nat -D TEST " + render(*rule)).status == 0);
  }
  CHECK(bench.listed("TEST").empty());
}

void reads_what_tools_write(Bench& bench) {
  bench.tool("-t nat -N TEST");
  bench.tool("-t nat -N OTHER");
  const std::vector<Rule> rules = all_kinds(bench.family());
  for (const Rule& rule : rules) bench.tool("-t nat -A TEST " + render(rule));

  const auto table = bench.find();
  REQUIRE(table != nullptr);
  REQUIRE(table->rules("TEST").size() == rules.size());
  for (std::size_t i = 0; i < rules.size(); ++i) {
    INFO(render(rules[i]));
    CHECK(table->rules("TEST")[i].rule == rules[i]);
  }
  const auto chains = table->chains();
  CHECK(std::ranges::is_permutation(chains, std::vector<std::string>{"TEST", "OTHER"}));

  // Nothing is added that is there.
  bench.change([&](Table& changed) {
    for (const Rule& rule : rules) CHECK_FALSE(changed.ensure_appended("TEST", rule));
    CHECK_FALSE(changed.changed());
  });
}

void keeps_order(Bench& bench) {
  require_test_chains(bench);
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
  require_test_chains(bench);
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

void leaves_foreign_rules_alone(Bench& bench) {
  bench.tool("-t nat -N TEST");
  bench.tool("-t nat -N OTHER");
  const std::vector<std::string> foreign = {
      "-m limit --limit 5/min -m comment --comment \"not ours\" -j OTHER",
      "-p tcp -m tcp --dport 80 --tcp-flags FIN,SYN,RST,ACK SYN -j ACCEPT",
      "! -p tcp -j ACCEPT",
      "-p tcp -m tcp ! --dport 80 -j ACCEPT",
      "-m mark ! --mark 0x1 -j ACCEPT",
      "-m addrtype --src-type LOCAL -j ACCEPT",
      "-p tcp -m multiport --dports 1:2 -j ACCEPT",
      "-p tcp -j REDIRECT --to-ports 80",
      "-p tcp -j MASQUERADE --to-ports 80-90",
      "-m comment --comment \"no target\"",
      "-g OTHER",
  };
  for (const std::string& rule : foreign) bench.tool("-t nat -A TEST " + rule);
  bench.tool("-t nat -A TEST -c 5 7 -m comment --comment counted -j ACCEPT");
  const auto before = bench.listed("TEST");
  REQUIRE(before.size() == foreign.size() + 1);
  const bool can_count = bench.tool("-c -t nat", "-save").find("[5:7]") != std::string::npos;
  const std::string counted =
      std::string(can_count ? "[5:7]" : "[0:0]") + " -A TEST -m comment --comment counted";

  const auto table = bench.find();
  for (std::size_t i = 0; i < foreign.size(); ++i) {
    INFO(foreign[i]);
    CHECK_FALSE(table->rules("TEST").at(i).rule.has_value());
  }
  CHECK(table->rules("TEST")[0].comment == "not ours");
  CHECK(table->rules("TEST")[0].jump_target == "OTHER");
  CHECK(table->rules("TEST")[foreign.size() - 1].jump_target == "OTHER");
  CHECK(table->rules("TEST")[1].jump_target.empty());

  bench.change([](Table& changed) {
    changed.insert("TEST", 3, commented("ours"));
    changed.insert("TEST", 0, commented("first"));
    changed.append("TEST", commented("last"));
  });
  auto expected = before;
  expected.insert(expected.begin() + 3, "-m comment --comment ours -j ACCEPT");
  expected.insert(expected.begin(), "-m comment --comment first -j ACCEPT");
  expected.push_back("-m comment --comment last -j ACCEPT");
  CHECK(bench.listed("TEST") == expected);

  // Their counters go on (ip6tables-nft 1.8.9 cannot set any).
  CHECK_THAT(bench.tool("-c -t nat", "-save"), Contains(counted));

  bench.change([](Table& changed) {
    CHECK(changed.erase_if("TEST", [](const StoredRule& stored) {
      return stored.rule.has_value() && stored.comment != "counted";
    }) == 3);
  });
  CHECK(bench.listed("TEST") == before);
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
  require_test_chains(bench);
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
  SECTION("writes what the tools know") {
    writes_what_tools_know(bench);
  }
  SECTION("reads what the tools write") {
    reads_what_tools_write(bench);
  }
  SECTION("keeps the order of rules") {
    keeps_order(bench);
  }
  SECTION("keeps the order of rules, at random") {
    keeps_order_at_random(bench);
  }
  SECTION("leaves foreign rules alone") {
    leaves_foreign_rules_alone(bench);
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
  test_store({.open = open_dialect, .flavour = "nft"});
}

TEST_CASE("the legacy tables are a store", "[xtables][iptables-legacy][ipv6]") {
  test_store({.open = [] { return open_legacy(); }, .flavour = "legacy"});
}
