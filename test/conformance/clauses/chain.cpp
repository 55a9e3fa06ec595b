// CHN: what plugins of a chain hand to each other.
#include <algorithm>

#include "clause.h"
#include "convert.h"
#include "kernel.h"

namespace conformance {
namespace {

bool contains(const json& list, const json& item) {
  return std::ranges::find(list, item) != list.end();
}

// A result that another plugin might have given for another interface of the container.
json foreign_result(const Bench& bench) {
  const json newest = json::parse(R"({"cniVersion": "1.1.0",
      "interfaces": [{"name": "other0", "mac": "0a:00:00:00:00:77", "sandbox": "/run/netns/a"}],
      "ips": [{"address": "203.0.113.5/24", "gateway": "203.0.113.1", "interface": 0}]})");
  return converted(newest, bench.version());
}

json add_after(Bench& bench, const json& previous) {
  const Attachment one = bench.attachment();
  bench.netns(one);
  const json config = bench.config({{"prevResult", previous}});
  return expect_result(bench.call("ADD", one, config), "ADD with prevResult");
}

void handled(Bench& bench) {
  const json previous =
      bench.kind() == kChained ? bench.base_result(bench.attachment()) : foreign_result(bench);
  const json result = in_newest(add_after(bench, previous));
  const json wanted = in_newest(previous);
  for (const json& interface : wanted["interfaces"]) {
    expect(contains(result["interfaces"], interface),
           fmt::format("the result lacks {} of prevResult: {}", interface.dump(), result.dump()));
  }
}

void passed_on(Bench& bench) {
  const json previous =
      bench.kind() == kChained ? bench.base_result(bench.attachment()) : foreign_result(bench);
  const json result = add_after(bench, previous);
  expect(without_empty(result) == without_empty(previous),
         fmt::format("{} became {}", previous.dump(), result.dump()));
}

// The interface an address points at.
json interface_of(const json& result, const json& address) {
  const auto index = address.value("interface", std::size_t{999});
  return index < result["interfaces"].size() ? result["interfaces"][index] : json();
}

void indexes_kept(Bench& bench) {
  const json previous = in_newest(bench.kind() == kChained ? bench.base_result(bench.attachment())
                                                           : foreign_result(bench));
  const json result =
      in_newest(add_after(bench, bench.kind() == kChained ? bench.base_result(bench.attachment())
                                                          : foreign_result(bench)));
  for (const json& address : previous["ips"]) {
    for (const json& now : result["ips"]) {
      if (now["address"] != address["address"]) continue;
      expect(interface_of(result, now) == interface_of(previous, address),
             fmt::format("{} points at {} now", address.dump(), interface_of(result, now).dump()));
    }
  }
}

void needs_previous(Bench& bench) {
  bench.base_result(bench.attachment());
  expect_error(bench.call("ADD", bench.attachment(), bench.config()), "ADD without prevResult");
}

void family_of_previous(Bench& bench) {
  const Attachment one = bench.attachment();
  json config = bench.request("ADD", one);
  if (!config.contains("prevResult")) config["prevResult"] = foreign_result(bench);
  config["prevResult"].erase("cniVersion");
  expect_success(bench.call("ADD", one, config), "ADD with prevResult without cniVersion");
  bench.del(one);
  config["prevResult"]["cniVersion"] = bench.version() < "1.0.0" ? "1.0.0" : "0.4.0";
  expect_error(bench.call("ADD", one, config), "ADD with prevResult of another family");
}

void final_result(Bench& bench) {
  const Attachment one = bench.attachment();
  bench.warm_up();
  bench.netns(one);
  bench.request("ADD", one);
  const Snapshot before = take_snapshot();
  json result = bench.add(one);
  // As a later plugin would: an interface of the host, and one in a sandbox of its own.
  result["interfaces"].push_back({{"name", "ifb9"}, {"mac", "0a:00:00:00:00:98"}});
  result["dns"]["search"] = {"later.example"};
  bench.remember(one, result);
  bench.check(one, "with the result of a longer chain");
  bench.del(one);
  expect_same(before, "after DEL with the result of a longer chain");
}

void other_kinds(Bench& bench) {
  try {
    kernel::add_tap("tap0");
  } catch (const std::system_error&) {
    throw NotApplicable("this machine gives no tap devices");
  }
  json previous = bench.base_result(bench.attachment());
  previous["interfaces"] = json::parse(
      R"([{"name": "tap0", "mac": "0a:00:00:00:00:55"},
          {"name": "eth0", "mac": "0a:00:00:00:00:56", "sandbox": "vm-4711"}])");
  const Outcome outcome =
      bench.call("ADD", bench.attachment(), bench.config({{"prevResult", previous}}));
  expect(outcome.signal == 0 && !outcome.timed_out, "ADD: " + outcome.text());
  if (outcome.status != 0) {
    expect_error(outcome, "ADD behind a tap");
    return;
  }
  const json result = expect_result(outcome, "ADD behind a tap");
  expect(without_empty(result) == without_empty(previous), "it became " + result.dump());
}

void unknown_members(Bench& bench) {
  const Attachment one = bench.attachment();
  json config = bench.request("ADD", one);
  if (!config.contains("prevResult")) config["prevResult"] = foreign_result(bench);
  json& previous = config["prevResult"];
  previous["unheard-of"] = {{"a", 1}};
  for (const char* list : {"interfaces", "ips"}) {
    for (json& item : previous[list]) item["unheard-of"] = json::array({1});
  }
  expect_success(bench.call("ADD", one, config), "ADD with unknown members in prevResult");
}

constexpr Clause kClauses[] = {
    {"CHN-01", kAny & ~kIpam, handled, true},
    {"CHN-02", kChained | kLoopback, passed_on, true},
    {"CHN-04", kMain | kChained, indexes_kept, true},
    {"CHN-05", kChained, needs_previous},
    {"CHN-06", kAny & ~kIpam, family_of_previous, true},
    {"CHN-07", kMain | kChained, final_result},
    {"CHN-08", kChained, other_kinds},
    {"CHN-09", kAny, unknown_members, true},
};

}  // namespace

std::span<const Clause> chain_clauses() {
  return kClauses;
}

}  // namespace conformance
