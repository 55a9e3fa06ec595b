// STA: STATUS says whether ADD can be served.
#include <algorithm>

#include "clause.h"

namespace conformance {
namespace {

const json kOneAddress = json::parse(
    R"({"ipam": {"ranges": [[{"subnet": "10.77.0.0/24", "rangeStart": "10.77.0.9",
                              "rangeEnd": "10.77.0.9"}]]}})");

Outcome status(const Bench& bench, const json& patch = json::object()) {
  return bench.call("STATUS", bench.attachment(), bench.config(patch));
}

void ready(Bench& bench) {
  expect_silence(status(bench), "STATUS");
}

// A configuration that cannot be served.
Outcome failing_status(Bench& bench) {
  if (bench.kind() == kMain) return status(bench, {{"ipam", {{"type", "nobody"}}}});
  bench.add(bench.attachment(), kOneAddress);
  return status(bench, kOneAddress);
}

void failure_is_told(Bench& bench) {
  const json error = expect_error(failing_status(bench), "STATUS of what cannot be served");
  expect(error.contains("msg"), "the error has no msg: " + error.dump());
}

void meaning_of_codes(Bench& bench) {
  for (const unsigned code : {50U, 51U}) {
    bench.ipam().fail("STATUS", code, "no");
    expect_error(status(bench), fmt::format("STATUS with a delegate's {}", code),
                 {static_cast<int>(code)});
  }
  bench.ipam().fail("ADD", 100, "no");
  const json error = expect_error(bench.call("ADD", bench.attachment()), "ADD");
  expect(error["code"] != 50 && error["code"] != 51, "an ADD fails with " + error.dump());
}

void exhausted(Bench& bench) {
  const Attachment one = bench.attachment();
  bench.add(one, kOneAddress);
  expect_error(status(bench, kOneAddress), "STATUS without a free address", {50});
  bench.del(one, kOneAddress);
  expect_success(status(bench, kOneAddress), "STATUS with a free address");
}

void delegated(Bench& bench) {
  const json config = bench.config({{"unheard-of", {1, 2}}});
  expect_success(bench.call("STATUS", bench.attachment(), config), "STATUS");
  const auto calls = bench.ipam().calls();
  expect(calls.size() == 1 && calls[0].verb == "STATUS", "the IPAM plugin got no STATUS");
  expect(json::parse(calls[0].input) == config, "the IPAM plugin got another configuration");
  expect(status(bench, {{"ipam", {{"type", "nobody"}}}}).status != 0,
         "STATUS without the delegate succeeds");
}

void delegate_not_ready(Bench& bench) {
  bench.ipam().fail("STATUS", 50, "the pool is empty");
  expect_mention(expect_error(status(bench), "STATUS with a delegate's 50", {50}),
                 "the pool is empty", "STATUS");
}

void nothing_relies_on_it(Bench& bench) {
  expect(failing_status(bench).status != 0, "STATUS of what cannot be served succeeds");
  const Attachment one = bench.attachment("c2", "b");
  bench.add(one);
  bench.del(one);
}

void changes_nothing(Bench& bench) {
  const Snapshot before = take_snapshot();
  status(bench);
  expect_same(before, "STATUS changes something");
  bench.add();
  const Snapshot with = take_snapshot();
  status(bench);
  expect_same(with, "STATUS changes something beside an attachment");
}

constexpr Clause kClauses[] = {
    {"STA-01", kAny, ready},
    {"STA-02", kMain | kIpam, failure_is_told},
    {"STA-03", kMain, meaning_of_codes},
    {"STA-05", kIpam, exhausted},
    {"STA-06", kMain, delegated},
    {"STA-07", kMain, delegate_not_ready},
    {"STA-08", kMain | kIpam, nothing_relies_on_it},
    {"STA-09", kAny, changes_nothing},
};

}  // namespace

std::span<const Clause> status_clauses() {
  return kClauses;
}

}  // namespace conformance
