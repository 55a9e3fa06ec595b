// CON: many at once, and those that were stopped half-way.
#include <algorithm>
#include <random>

#include "clause.h"
#include "netns.h"

namespace conformance {
namespace {

constexpr int kCrowd = 8;

Attachment number(const Bench& bench, int index) {
  return bench.attachment(fmt::format("c{}", index), fmt::format("n{}", index));
}

// Of a plugin that maps ports each container wants another one.
json own_port(const Bench& bench, int index) {
  json patch = json::object();
  if (bench.subject().config.contains("runtimeConfig")) {
    patch["runtimeConfig"] = bench.subject().config["runtimeConfig"];
    patch["runtimeConfig"]["portMappings"][0]["hostPort"] = 9000 + index;
  }
  return patch;
}

std::vector<Outcome> all_at_once(Bench& bench, const std::string& verb) {
  std::vector<Program> programs;
  for (int i = 0; i < kCrowd; ++i) {
    const Attachment one = number(bench, i);
    bench.netns(one);
    programs.push_back(bench.program(verb, one, bench.request(verb, one, own_port(bench, i))));
  }
  const auto outcomes = run_together(programs);
  for (int i = 0; i < kCrowd; ++i) {
    const Outcome& outcome = outcomes[static_cast<std::size_t>(i)];
    const std::string what = fmt::format("one of {} {}s at once", kCrowd, verb);
    expect_success(outcome, what);
    if (verb == "ADD") bench.remember(number(bench, i), expect_result(outcome, what));
  }
  return outcomes;
}

Snapshot empty_places(Bench& bench) {
  for (int i = 0; i < kCrowd; ++i) {
    bench.netns(number(bench, i));
    bench.request("ADD", number(bench, i));
  }
  return take_snapshot();
}

void crowd(Bench& bench) {
  bench.warm_up();
  const Snapshot before = empty_places(bench);
  all_at_once(bench, "ADD");
  if (bench.serves("0.4.0")) {
    for (int i = 0; i < kCrowd; ++i) {
      const Attachment one = number(bench, i);
      expect_success(bench.call("CHECK", one, bench.request("CHECK", one, own_port(bench, i))),
                     "CHECK after a crowd of ADDs");
    }
  }
  all_at_once(bench, "DEL");
  expect_same(before, "after a crowd came and went");
}

void first_ones(Bench& bench) {
  empty_places(bench);
  all_at_once(bench, "ADD");
}

void locks_die(Bench& bench) {
  const Attachment one = bench.attachment();
  for (const int milliseconds : {1, 2, 3, 5, 8, 12, 20, 35, 60, 100}) {
    Program program = bench.program("ADD", one, bench.request("ADD", one));
    program.kill_after = std::chrono::milliseconds(milliseconds);
    run(program);
    bench.del(one);
  }
  bench.add(one);
}

void storm(Bench& bench) {
  bench.warm_up();
  std::mt19937 random(4711);  // the same in every run
  const Snapshot before = empty_places(bench);
  for (int round = 0; round < 10; ++round) {
    std::vector<Program> programs;
    for (int i = 0; i < 4; ++i) {
      const Attachment one = number(bench, i);
      const std::string verb = random() % 2 == 0 ? "ADD" : "DEL";
      programs.push_back(bench.program(verb, one, bench.request(verb, one, own_port(bench, i))));
    }
    for (const Outcome& outcome : run_together(programs)) {
      expect(outcome.signal == 0 && !outcome.timed_out, "in a storm: " + outcome.text());
    }
  }
  for (int i = 0; i < 4; ++i) bench.del(number(bench, i), own_port(bench, i));
  if (bench.kind() != kLoopback) expect_same(before, "after a storm");
}

void gc_beside_add(Bench& bench) {
  const Attachment one = bench.attachment();
  for (int i = 0; i < 5; ++i) {
    const auto outcomes = run_together({bench.program("ADD", one, bench.request("ADD", one)),
                                        bench.program("GC", one, bench.gc_config({one}))});
    for (const Outcome& outcome : outcomes) {
      expect(outcome.signal == 0 && !outcome.timed_out, "GC beside ADD: " + outcome.text());
    }
    expect_success(bench.call("GC", one, bench.gc_config({one})), "GC after GC beside ADD");
    bench.del(one);
  }
}

// Keys with other values than at ADD.
json other_settings(const Bench& bench) {
  if (bench.kind() == kIpam) {
    return {{"ipam", {{"ranges", json::parse(R"([[{"subnet": "192.0.2.0/24"}]])")}}}};
  }
  return {{"mtu", 1300}, {"isGateway", false}, {"runtimeConfig", nullptr}};
}

void changed_configuration(Bench& bench) {
  const Attachment one = bench.attachment();
  bench.warm_up();
  bench.netns(one);
  bench.request("ADD", one);
  const Snapshot before = take_snapshot();
  bench.add(one);
  bench.del(one, other_settings(bench));
  expect_same(before, "after DEL with another configuration");
}

constexpr Clause kClauses[] = {
    {"CON-01", kAny, crowd},         {"CON-02", kAny, first_ones},
    {"CON-03", kAny, locks_die},     {"CON-04", kAny, storm},
    {"CON-05", kAny, gc_beside_add}, {"CON-06", kAny, changed_configuration},
};

}  // namespace

std::span<const Clause> concurrency_clauses() {
  return kClauses;
}

}  // namespace conformance
