// VER: which versions of the specification a plugin speaks.
#include <algorithm>

#include "clause.h"
#include "spec.h"

namespace conformance {
namespace {

Outcome ask(const Bench& bench, const std::string& input, Stream in = Stream::kPipe) {
  Program program = bench.program("VERSION", bench.attachment(), {});
  program.input = input;
  program.in = in;
  program.limit = std::chrono::seconds(5);
  return run(program);
}

std::vector<std::string> supported(const Bench& bench) {
  const json answer = expect_result(ask(bench, R"({"cniVersion": "1.0.0"})"), "VERSION");
  return answer.at("supportedVersions");
}

void bare_version(Bench& bench) {
  Program program = bench.program("VERSION", bench.attachment(), bench.config());
  program.environment = {{"CNI_COMMAND", "VERSION"}};
  expect_result(run(program), "VERSION with nothing but the command");
}

void version_document(Bench& bench) {
  const json answer = expect_result(ask(bench, R"({"cniVersion": "1.0.0"})"), "VERSION");
  expect_schema("version.json", answer, "the answer");
}

void listed_is_served(Bench& bench) {
  const Attachment one = bench.attachment();
  const auto versions = supported(bench);
  for (const std::string& version : versions) {
    json config = bench.config({{"cniVersion", version}});
    if (bench.kind() == kChained) config["prevResult"] = bench.base_result(one, version);
    expect_result(bench.call("ADD", one, config), "ADD in listed " + version);
    expect_success(bench.call("DEL", one, config), "DEL in listed " + version);
  }
  for (const std::string version : {"0.0.9", "0.5.0", "1.2.0", "2.0.0"}) {
    if (std::ranges::find(versions, version) != versions.end()) continue;
    expect_error(bench.call("ADD", one, bench.request("ADD", one, {{"cniVersion", version}})),
                 "ADD in " + version, {1});
  }
}

void version_echoed(Bench& bench) {
  for (const std::string& version : supported(bench)) {
    const json answer =
        expect_result(ask(bench, json{{"cniVersion", version}}.dump()), "VERSION with " + version);
    const json said = answer.value("cniVersion", json());
    expect(said == version, fmt::format("VERSION with {} says {}", version, said.dump()));
  }
}

void version_without_input(Bench& bench) {
  const auto answers = [&](const std::string& input, Stream in, const std::string& what) {
    const json answer = expect_result(ask(bench, input, in), "VERSION with stdin " + what);
    expect(!answer.value("cniVersion", "").empty(), "VERSION says no version with stdin " + what);
  };
  answers("", Stream::kPipe, "empty");
  answers("", Stream::kClosed, "closed");
  answers("\x01garbage", Stream::kPipe, "garbage");
  answers("", Stream::kSilentPipe, "silent");
}

void unsupported_version(Bench& bench) {
  const Attachment one = bench.attachment();
  std::vector<std::string> verbs = {"ADD", "DEL"};
  if (bench.serves("0.4.0")) verbs.emplace_back("CHECK");
  if (bench.serves("1.1.0")) verbs.insert(verbs.end(), {"GC", "STATUS"});
  for (const std::string& verb : verbs) {
    expect_error(bench.call(verb, one, bench.request(verb, one, {{"cniVersion", "9.9.9"}})),
                 verb + " in 9.9.9", {1});
  }
  for (const char* version : {"1.0", "1.0.0-rc1"}) {
    for (const char* verb : {"ADD", "DEL"}) {
      expect_error(bench.call(verb, one, bench.request(verb, one, {{"cniVersion", version}})),
                   fmt::format("{} in {}", verb, version), {1});
    }
  }
  expect_error(bench.call("ADD", one, bench.request("ADD", one, {{"cniVersion", "abc"}})),
               "ADD in abc", {1, 6});
}

void version_absent(Bench& bench) {
  const Attachment one = bench.attachment();
  json config = bench.request("ADD", one);
  config.erase("cniVersion");
  if (config.contains("prevResult")) config["prevResult"].erase("cniVersion");
  const json result = expect_result(bench.call("ADD", one, config), "ADD without cniVersion");
  const json said = result.value("cniVersion", json());
  expect(said == "0.1.0" || said == "0.2.0", "ADD without cniVersion answers in " + said.dump());
  const bool old = result.contains("ip4") || result.contains("ip6");
  expect(old && !result.contains("ips"), "ADD without cniVersion answers " + result.dump());
}

void version_of_result(Bench& bench) {
  const json said = bench.add().value("cniVersion", json());
  expect(said == bench.version(), "the result says " + said.dump());
}

// The command is refused for the version of the configuration, and changes nothing.
void refuses(Bench& bench, const std::string& verb) {
  const Attachment one = bench.attachment();
  const json result = bench.add(one);
  const Snapshot before = take_snapshot();
  json config = bench.gc_config({});
  config["prevResult"] = result;
  // To a plugin that is older than the command it is an unknown one.
  const Environment all = bench.environment("ADD", one);
  expect_error(bench.call(verb, one, config,
                          {{"CNI_CONTAINERID", all.at("CNI_CONTAINERID")},
                           {"CNI_NETNS", all.at("CNI_NETNS")},
                           {"CNI_IFNAME", all.at("CNI_IFNAME")}}),
               verb, {1, 4});
  expect_same(before, "the refused " + verb + " changes something");
  bench.del(one);
}

void check_too_old(Bench& bench) {
  refuses(bench, "CHECK");
}

void gc_and_status_too_old(Bench& bench) {
  refuses(bench, "GC");
  refuses(bench, "STATUS");
}

void newer_keys(Bench& bench) {
  const Attachment one = bench.attachment();
  const json newer = json::parse(R"({"cniVersions": ["1.0.0", "1.1.0"], "disableGC": true,
      "loadOnlyInlinedPlugins": true, "unheard-of": {"a": [1]}})");
  bench.add(one, newer);
  bench.del(one, newer);
}

void version_changes_nothing(Bench& bench) {
  const Snapshot before = take_snapshot();
  expect_result(ask(bench, bench.config().dump()), "VERSION");
  expect_same(before, "VERSION changes something");
}

constexpr Clause kClauses[] = {
    {"VER-01", kAny, bare_version},          {"VER-02", kAny, version_document},
    {"VER-03", kAny, listed_is_served},      {"VER-04", kAny, version_echoed},
    {"VER-05", kAny, version_without_input}, {"VER-06", kAny, unsupported_version, true},
    {"VER-07", kAny, version_absent},        {"VER-08", kAny, version_of_result, true},
    {"VER-09", kAny, check_too_old, true},   {"VER-10", kAny, gc_and_status_too_old, true},
    {"VER-11", kAny, newer_keys, true},      {"VER-12", kAny, version_changes_nothing},
};

}  // namespace

std::span<const Clause> version_clauses() {
  return kClauses;
}

}  // namespace conformance
