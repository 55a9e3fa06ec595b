// GC: what dead attachments left goes.
#include <algorithm>
#include <filesystem>
#include <fstream>

#include "clause.h"
#include "kernel.h"
#include "netfilter.h"
#include "netns.h"

namespace conformance {
namespace {

constexpr const char* kValid = "cni.dev/valid-attachments";
constexpr const char* kOldKey = "cni.dev/attachments";

// What makes an attachment leave something on the host when its container is gone.
json leaving(const Bench& bench) {
  return bench.kind() == kMain ? json{{"ipMasq", true}} : json::object();
}

json port(const Bench& bench, int number) {
  json patch = leaving(bench);
  if (bench.subject().config.contains("runtimeConfig")) {
    patch["runtimeConfig"] = bench.subject().config["runtimeConfig"];
    patch["runtimeConfig"]["portMappings"][0]["hostPort"] = number;
  }
  return patch;
}

void collect(const Bench& bench, const json& config) {
  expect_success(bench.call("GC", bench.attachment(), config), "GC");
}

// Two attachments, of which the second is dead, and the state without it.
struct Pair {
  Attachment alive, dead;
  Snapshot wanted;
};

Pair one_dead(Bench& bench) {
  Pair pair{bench.attachment("c1", "a"), bench.attachment("c2", "b"), {}};
  bench.warm_up();
  bench.request("ADD", pair.dead);
  bench.add(pair.alive, port(bench, 8080));
  bench.netns(pair.dead);
  bench.end_container(pair.dead);
  pair.wanted = take_snapshot();
  bench.add(pair.dead, port(bench, 8081));
  bench.end_container(pair.dead);
  return pair;
}

json without_lists(json config) {
  config.erase(kValid);
  config.erase(kOldKey);
  return config;
}

void minimal(Bench& bench) {
  Program program = bench.program("GC", bench.attachment(), bench.config());
  program.environment = {{"CNI_COMMAND", "GC"}, {"CNI_PATH", program.environment["CNI_PATH"]}};
  expect_success(run(program), "GC");
}

void list_counts(Bench& bench) {
  const Pair pair = one_dead(bench);
  collect(bench, bench.gc_config({pair.alive}, leaving(bench)));
  expect_same(pair.wanted, "GC of one of two attachments");
}

void old_key(Bench& bench) {
  const Pair pair = one_dead(bench);
  json config = bench.gc_config({pair.alive}, leaving(bench));
  config[kOldKey] = bench.gc_config({pair.alive, pair.dead})[kOldKey];
  collect(bench, config);
  expect_same(pair.wanted, "GC with the newer key naming less than the older");
  bench.add(pair.dead, port(bench, 8081));
  bench.end_container(pair.dead);
  json old = without_lists(config);
  old[kOldKey] = config[kValid];
  collect(bench, old);
  expect_same(pair.wanted, "GC with the older key alone");
}

void all_stale(Bench& bench) {
  const Attachment one = bench.attachment();
  bench.warm_up();
  const Snapshot before = take_snapshot();
  bench.add(one, leaving(bench));
  bench.end_container(one);
  collect(bench, bench.gc_config({}, leaving(bench)));
  expect_same(before, "GC of a dead attachment");
}

void pairs(Bench& bench) {
  const Attachment first = bench.attachment("c1", "a");
  const Attachment second{"c1", "net1", "b"};
  bench.warm_up();
  bench.add(first, port(bench, 8080));
  bench.netns(second);
  bench.end_container(second);
  const Snapshot wanted = take_snapshot();
  bench.add(second, port(bench, 8081));
  bench.end_container(second);
  collect(bench, bench.gc_config({first}, leaving(bench)));
  expect_same(wanted, "GC of one name of a container with two");
}

void own_network(Bench& bench) {
  const Attachment one = bench.attachment("c1", "a");
  json other = port(bench, 8081);
  other["name"] = "net2";
  bench.warm_up();
  bench.add(one, other);
  const Attachment dead{"c1", "net1", "b"};
  bench.netns(dead);
  bench.end_container(dead);
  const Snapshot wanted = take_snapshot();
  bench.add(dead, port(bench, 8080));
  bench.end_container(dead);
  collect(bench, bench.gc_config({}, leaving(bench)));
  expect_same(wanted, "GC of net1 beside net2");
}

void no_list(Bench& bench) {
  const Attachment one = bench.attachment();
  bench.warm_up();
  const Snapshot before = take_snapshot();
  bench.add(one, leaving(bench));
  bench.end_container(one);
  collect(bench, without_lists(bench.config(leaving(bench))));
  expect_same(before, "GC without any list");
}

void goes_on(Bench& bench) {
  const Attachment one = bench.attachment();
  bench.warm_up();
  const Snapshot before = take_snapshot();
  bench.add(one, leaving(bench));
  bench.end_container(one);
  bench.ipam().fail("GC", 123, "the pool burns");
  expect_error(bench.call("GC", one, bench.gc_config({}, leaving(bench))),
               "GC with a failing delegate", {123});
  expect_same(before, "GC with a failing delegate");
}

void delegated(Bench& bench) {
  const json config = bench.gc_config({bench.attachment()});
  collect(bench, config);
  const auto calls = bench.ipam().calls();
  expect(calls.size() == 1 && calls[0].verb == "GC", "the IPAM plugin got no GC");
  expect(json::parse(calls[0].input) == config, "the IPAM plugin got another configuration");
  bench.ipam().fail("GC", 123, "no");
  expect_error(bench.call("GC", bench.attachment(), config), "GC with a failing delegate", {123});
}

void silent(Bench& bench) {
  bench.add();
  const Attachment one = bench.attachment();
  expect_silence(bench.call("GC", one, bench.gc_config({one})), "GC");
}

void living_namespace(Bench& bench) {
  const Attachment one = bench.attachment();
  bench.add(one, leaving(bench));
  collect(bench, bench.gc_config({}, leaving(bench)));
  bench.del(one, leaving(bench));
}

void foreign_things(Bench& bench) {
  bench.warm_up();
  kernel::add_bridge("foreign0");
  kernel::add_address("foreign0", "203.0.113.1/24");
  kernel::set_up("foreign0", true);
  kernel::add_route("foreign0", {.destination = "198.51.100.0/24"});
  try {
    netfilter::add_foreign_table("foreign");
  } catch (const std::system_error&) {
    // a kernel without nf_tables
  }
  std::filesystem::create_directories("/var/lib/cni/networks/net1");
  std::ofstream("/var/lib/cni/networks/net1/foreign") << "c9\r\neth0";
  std::ofstream("/var/lib/cni/foreign") << "foreign";
  const Snapshot before = take_snapshot();
  collect(bench, bench.gc_config({}));
  expect_same(before, "GC beside foreign things");
}

void then_del(Bench& bench) {
  const Attachment one = bench.attachment();
  bench.add(one);
  const json request = bench.request("DEL", one);
  bench.end_container(one);
  collect(bench, bench.gc_config({}));
  collect(bench, bench.gc_config({}));
  expect_success(bench.call("DEL", one, request), "DEL after GC");
}

void shared_stays(Bench& bench) {
  const Attachment one = bench.attachment();
  bench.add(one, leaving(bench));
  const Snapshot before = take_snapshot();
  collect(bench, bench.gc_config({one}, leaving(bench)));
  expect_same(before, "GC with a living attachment");
}

constexpr unsigned kLeaving = kMain | kIpam | kChained;

constexpr Clause kClauses[] = {
    {"GC-01", kAny, minimal},          {"GC-02", kLeaving, list_counts},
    {"GC-03", kLeaving, old_key},      {"GC-04", kLeaving, all_stale},
    {"GC-05", kLeaving, pairs},        {"GC-06", kLeaving, own_network},
    {"GC-07", kLeaving, no_list},      {"GC-08", kMain, goes_on},
    {"GC-09", kMain, delegated},       {"GC-10", kAny, silent},
    {"GC-11", kAny, living_namespace}, {"GC-12", kAny, foreign_things},
    {"GC-13", kAny, then_del},         {"GC-14", kAny, shared_stays},
};

}  // namespace

std::span<const Clause> gc_clauses() {
  return kClauses;
}

}  // namespace conformance
