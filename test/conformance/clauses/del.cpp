// DEL: an attachment goes, however little is left of it.
#include <algorithm>
#include <filesystem>
#include <fstream>

#include "clause.h"
#include "kernel.h"
#include "netns.h"

namespace conformance {
namespace {

// The state with a container and without an attachment, but with all that stays by design.
Snapshot ready(Bench& bench, const Attachment& one) {
  bench.warm_up();
  bench.netns(one);
  bench.request("ADD", one);
  return take_snapshot();
}

void all_back(Bench& bench) {
  const Attachment one = bench.attachment();
  const Snapshot before = ready(bench, one);
  bench.add(one);
  bench.del(one);
  expect_same(before, "after ADD and DEL");
}

void again(Bench& bench) {
  const Attachment one = bench.attachment();
  bench.add(one);
  for (int i = 0; i < 3; ++i) bench.del(one);
}

void without_container(Bench& bench) {
  const Attachment one = bench.attachment();
  bench.warm_up();
  const Snapshot before = take_snapshot();
  const auto try_with = [&](const std::string& what, const Changes& changes, bool file) {
    bench.add(one);
    const json request = bench.request("DEL", one);
    bench.end_container(one);
    if (file) std::ofstream(std::string(kWorkDirectory) + "/file").close();
    bench.ipam().forget_calls();
    expect_success(bench.call("DEL", one, request, changes), "DEL with the namespace " + what);
    expect_same(before, "after DEL with the namespace " + what);
    if (bench.kind() == kMain) {
      expect(bench.ipam().count("DEL") == 1,
             "the IPAM plugin got no DEL with the namespace " + what);
    }
  };
  // Veths of the host end with the container, a moment later.
  try_with("gone", {}, false);
  try_with("unset", {{"CNI_NETNS", std::nullopt}}, false);
  try_with("a file", {{"CNI_NETNS", std::string(kWorkDirectory) + "/file"}}, true);
}

void without_interface(Bench& bench) {
  const Attachment one = bench.attachment();
  bench.warm_up();
  bench.add(one);
  in_netns(bench.netns(one), [&] { kernel::delete_link(one.ifname); });
  bench.del(one);
}

void without_previous_result(Bench& bench) {
  const Attachment one = bench.attachment();
  const Snapshot before = ready(bench, one);
  for (const json& previous : {json(), json(nullptr), json::object()}) {
    bench.add(one);
    json config = bench.config();
    if (!previous.is_null()) config["prevResult"] = previous;
    expect_success(bench.call("DEL", one, config), "DEL with prevResult " + previous.dump());
    expect_same(before, "after DEL with prevResult " + previous.dump());
  }
  bench.add(one);
  json config = bench.config();
  config["prevResult"] = nullptr;
  expect_success(bench.call("DEL", one, config), "DEL with prevResult null");
  expect_same(before, "after DEL with prevResult null");
}

void never_added(Bench& bench) {
  bench.netns();
  bench.del(bench.attachment("nobody"));
}

void silent(Bench& bench) {
  const Attachment one = bench.attachment();
  bench.add(one);
  expect_silence(bench.call("DEL", one), "DEL");
}

void only_the_named(Bench& bench) {
  const Attachment one = bench.attachment("c1", "a");
  const Attachment ten = bench.attachment("c10", "b");
  const json port = json::parse(R"({"runtimeConfig": {"portMappings": [
      {"hostPort": 8081, "containerPort": 80, "protocol": "tcp"}]}})");
  bench.warm_up();
  bench.netns(one);
  bench.request("ADD", one);
  bench.add(ten, bench.kind() == kChained ? port : json::object());
  const Snapshot before = take_snapshot();
  bench.add(one);
  bench.del(one);
  expect_same(before, "DEL of c1 beside c10");
}

void pool_of_one(Bench& bench) {
  const json ranges = json::parse(
      R"({"ipam": {"ranges": [[{"subnet": "10.77.0.0/24", "rangeStart": "10.77.0.9",
                                "rangeEnd": "10.77.0.9"}]]}})");
  const Attachment one = bench.attachment();
  for (int i = 0; i < 10; ++i) {
    bench.add(one, ranges);
    bench.del(one, ranges);
  }
}

void other_steps_go_on(Bench& bench) {
  const Attachment one = bench.attachment();
  bench.add(one);
  bench.ipam().fail("DEL", 100, "no");
  expect_error(bench.call("DEL", one), "DEL with a failing delegate");
  in_netns(bench.netns(one), [&] {
    expect(!kernel::find_link(one.ifname), "the interface is still there after IPAM failed");
  });
}

void delegated(Bench& bench) {
  const Attachment one = bench.attachment();
  bench.add(one);
  bench.ipam().forget_calls();
  bench.del(one);
  expect(bench.ipam().count("DEL") == 1, "the IPAM plugin got no DEL");
  bench.add(one);
  const json request = bench.request("DEL", one);
  bench.end_container(one);
  bench.ipam().forget_calls();
  bench.ipam().fail("DEL", 123, "the pool burns");
  const json error =
      expect_error(bench.call("DEL", one, request), "DEL with a failing delegate", {123});
  expect_mention(error, "the pool burns", "DEL");
  expect(bench.ipam().count("DEL") == 1, "the IPAM plugin got no DEL without namespace");
}

void without_runtime_data(Bench& bench) {
  const Attachment one = bench.attachment();
  const Snapshot before = ready(bench, one);
  json dynamic = json::object();
  if (bench.kind() == kIpam) {
    dynamic["runtimeConfig"]["ipRanges"] = json::parse(R"([[{"subnet": "10.99.0.0/24"}]])");
  }
  bench.add(one, dynamic);
  expect(!difference(before, take_snapshot()).empty(), "nothing is different after ADD");
  json request = bench.request("DEL", one);
  request.erase("runtimeConfig");
  expect_success(bench.call("DEL", one, request), "DEL without runtimeConfig");
  expect_same(before, "after DEL without runtimeConfig");
}

void turns(Bench& bench) {
  const Attachment one = bench.attachment();
  for (int i = 0; i < 10; ++i) {
    bench.add(one);
    bench.del(one);
  }
}

void with_old_result(Bench& bench) {
  const Attachment one = bench.attachment();
  bench.add(one);
  const json request = bench.request("DEL", one);
  expect(request.contains("prevResult"), "no prevResult");
  for (int i = 0; i < 2; ++i) {
    expect_success(bench.call("DEL", one, request), "DEL with the old prevResult");
  }
}

constexpr Clause kClauses[] = {
    {"DEL-01", kAny, all_back, true},
    {"DEL-02", kAny, again},
    {"DEL-03", kAny, without_container},
    {"DEL-04", kMain | kChained, without_interface},
    {"DEL-05", kAny, without_previous_result},
    {"DEL-06", kAny, never_added},
    {"DEL-07", kAny, silent},
    {"DEL-08", kMain | kIpam | kChained, only_the_named},
    {"DEL-09", kIpam, pool_of_one},
    {"DEL-10", kMain, other_steps_go_on},
    {"DEL-11", kMain, delegated},
    {"DEL-12", kIpam | kChained, without_runtime_data},
    {"DEL-13", kAny, turns},
    {"DEL-14", kAny, with_old_result},
};

}  // namespace

std::span<const Clause> del_clauses() {
  return kClauses;
}

}  // namespace conformance
