// DLG: how a plugin calls another.
#include <algorithm>
#include <filesystem>

#include "clause.h"
#include "netns.h"

namespace conformance {
namespace {

namespace fs = std::filesystem;

const std::vector<std::string> kAddThenDel = {"ADD", "DEL"};

void expect_verbs(const Bench& bench, const std::vector<std::string>& verbs,
                  const std::string& when) {
  const auto seen = bench.ipam().verbs();
  expect(seen == verbs, fmt::format("{} the IPAM plugin got {}", when, fmt::join(seen, ", ")));
}

void path_order(Bench& bench) {
  const Attachment one = bench.attachment();
  const std::string decoy = std::string(kWorkDirectory) + "/decoy";
  fs::create_directories(decoy + "/" + kRecorderName);
  const Changes path = {{"CNI_PATH", fmt::format("{}:{}", decoy, bench.ipam().directory())}};
  expect_success(bench.call("ADD", one, bench.config(), path), "ADD with a directory of that name");
  const json error = expect_error(
      bench.call("ADD", bench.attachment("c2", "b"), bench.config(), {{"CNI_PATH", decoy}}),
      "ADD without the delegate");
  expect_mention(error, kRecorderName, "ADD without the delegate");
}

void same_environment(Bench& bench) {
  const Attachment one = bench.attachment();
  const Changes odd = {{"CNI_ARGS", "IgnoreUnknown=1;A=b"}, {"ODD", "x y"}};
  expect_success(bench.call("ADD", one, bench.config(), odd), "ADD");
  const auto calls = bench.ipam().calls();
  expect(!calls.empty(), "the IPAM plugin was not called");
  expect(calls[0].environment == bench.environment("ADD", one, odd),
         "the IPAM plugin got the environment " + json(calls[0].environment).dump());
}

void whole_configuration(Bench& bench) {
  const Attachment one = bench.attachment();
  const json config = bench.config(json::parse(
      R"({"unheard-of": {"a": [1, "<&>"]}, "args": {"labels": [{"key": "a", "value": "b"}]},
          "runtimeConfig": {"aliases": ["x"]}, "ipam": {"more": 1.5, "gone": false}})"));
  expect_success(bench.call("ADD", one, config), "ADD");
  const auto calls = bench.ipam().calls();
  expect(!calls.empty(), "the IPAM plugin was not called");
  const json got = json::parse(calls[0].input, nullptr, false);
  expect(got == config, "the IPAM plugin got " + got.dump());
}

void noise_of_delegate(Bench& bench) {
  const Attachment one = bench.attachment();
  bench.ipam().answer("ADD", {.status = 0,
                              .out = json{{"cniVersion", "1.0.0"},
                                          {"ips", {json::parse(R"({"address": "10.88.0.9/24",
                                                   "gateway": "10.88.0.1"})")}}}
                                         .dump(),
                              .err = std::string(1 << 20, '.') + "the-mark\n"});
  const Outcome outcome = bench.call("ADD", one);
  expect_success(outcome, "ADD with a noisy delegate");
  expect(outcome.err.find("the-mark") != std::string::npos,
         "what the delegate said last is not on stderr");
}

void failed_add(Bench& bench) {
  bench.ipam().fail("ADD", 100, "no");
  expect_error(bench.call("ADD", bench.attachment()), "ADD with a failing delegate");
  expect_verbs(bench, kAddThenDel, "after it failed ADD");
}

void own_failure(Bench& bench) {
  bench.ipam().give(json::parse(R"({"ips": [{"address": "10.88.0.9/24", "gateway": "10.88.0.1"}],
                                    "routes": [{"dst": "10.1.0.0/16", "gw": "192.0.2.1"}]})"));
  expect_error(bench.call("ADD", bench.attachment()), "ADD with a route that cannot be");
  expect_verbs(bench, kAddThenDel, "after a failure of the plugin");
}

void all_commands(Bench& bench) {
  const Attachment one = bench.attachment();
  std::vector<std::string> verbs = {"ADD"};
  bench.add(one);
  if (bench.serves("0.4.0")) {
    bench.check(one, "after ADD");
    verbs.emplace_back("CHECK");
  }
  if (bench.serves("1.1.0")) {
    expect_success(bench.call("STATUS", one, bench.config()), "STATUS");
    expect_success(bench.call("GC", one, bench.gc_config({one})), "GC");
    verbs.insert(verbs.end(), {"STATUS", "GC"});
  }
  bench.del(one);
  verbs.emplace_back("DEL");
  expect_verbs(bench, verbs, "for " + fmt::format("{}", fmt::join(verbs, ", ")));
}

void error_carried(Bench& bench) {
  bench.ipam().fail("ADD", 11, "the pool is locked");
  const json error =
      expect_error(bench.call("ADD", bench.attachment()), "ADD with a delegate's 11", {11});
  expect_mention(error, "the pool is locked", "ADD with a delegate's 11");
}

void name_is_no_path(Bench& bench) {
  for (const char* type : {"../ipam/test-ipam", "/run/conformance/ipam/test-ipam", "a/b"}) {
    expect_error(bench.call("ADD", bench.attachment(), bench.config({{"ipam", {{"type", type}}}})),
                 fmt::format("ADD with the delegate {:?}", std::string(type)));
    expect_verbs(bench, {}, fmt::format("as {:?}", std::string(type)));
  }
}

void version_of_answer(Bench& bench) {
  const json given =
      json::parse(R"({"ips": [{"address": "10.88.0.9/24", "gateway": "10.88.0.1"}]})");
  const Attachment one = bench.attachment();
  for (const char* version : {"", "0.2.0", "0.4.0", "1.0.0"}) {
    bench.ipam().give(given, version);
    const json result = bench.add(one);
    expect(addresses_in(result) == std::vector<std::string>{"10.88.0.9/24"},
           fmt::format("an answer in {:?} became {}", std::string(version), result.dump()));
    bench.del(one);
  }
}

void no_address(Bench& bench) {
  bench.ipam().answer("ADD", {.out = json{{"cniVersion", bench.version()}}.dump()});
  expect_error(bench.call("ADD", bench.attachment()), "ADD without any address");
  expect_verbs(bench, kAddThenDel, "after it gave no address");
}

void clean_start(Bench& bench) {
  bench.add();
  const auto calls = bench.ipam().calls();
  expect(!calls.empty(), "the IPAM plugin was not called");
  expect(calls[0].descriptors == std::vector{0, 1, 2},
         fmt::format("the IPAM plugin has descriptors {}", fmt::join(calls[0].descriptors, ", ")));
  expect(calls[0].netns == fs::read_symlink("/proc/self/ns/net").string(),
         "the IPAM plugin runs in " + calls[0].netns);
}

void nonsense(Bench& bench) {
  bench.ipam().answer("ADD", {.killed = true});
  expect_error(bench.call("ADD", bench.attachment()), "ADD with a killed delegate");
  for (const char* text : {"xx", "", "[]", R"({"ips": 5})"}) {
    bench.ipam().answer("ADD", {.out = text});
    expect_error(bench.call("ADD", bench.attachment()),
                 fmt::format("ADD with a delegate that says {:?}", std::string(text)));
  }
}

constexpr Clause kClauses[] = {
    {"DLG-01", kMain, path_order},
    {"DLG-02", kMain, same_environment},
    {"DLG-03", kMain, whole_configuration},
    {"DLG-04", kMain, noise_of_delegate},
    {"DLG-05", kMain, failed_add},
    {"DLG-06", kMain, own_failure},
    {"DLG-07", kMain, all_commands, true},
    {"DLG-08", kMain, error_carried},
    {"DLG-09", kMain, name_is_no_path},
    {"DLG-10", kMain, version_of_answer},
    {"DLG-11", kMain, no_address},
    {"DLG-12", kMain, clean_start},
    {"DLG-13", kMain, nonsense},
};

}  // namespace

std::span<const Clause> delegation_clauses() {
  return kClauses;
}

}  // namespace conformance
