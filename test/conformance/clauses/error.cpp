// ERR: what a plugin says when it fails.
#include <algorithm>
#include <random>

#include "clause.h"
#include "netns.h"
#include "spec.h"

namespace conformance {
namespace {

Outcome refused(Bench& bench, const std::string& name = "-") {
  return bench.call("ADD", bench.attachment(), bench.config({{"name", name}}));
}

// A failure of the plugin's work rather than of the request. The paths that lead to none are its
// own: an IPAM plugin without ranges, a chained one without prevResult.
Outcome failed_work(Bench& bench) {
  const Attachment one = bench.attachment();
  json config = bench.config();
  if (bench.kind() == kIpam) config["ipam"]["ranges"] = json::array();
  if (bench.kind() == kMain) bench.ipam().answer("ADD", {.out = "nonsense"});
  if (bench.kind() != kLoopback) return bench.call("ADD", one, config);
  return bench.call("ADD", one, config, {{"CNI_NETNS", "/nonexistent"}});
}

void object_on_stdout(Bench& bench) {
  expect_error(refused(bench), "a refused ADD");
  expect_error(failed_work(bench), "an ADD that fails");
}

void members(Bench& bench) {
  expect_schema("error.json", expect_error(refused(bench), "a refused ADD"), "the error");
  expect_schema("error.json", expect_error(failed_work(bench), "an ADD that fails"), "the error");
}

void reserved_codes(Bench& bench) {
  const std::vector<int> known = {1, 2, 3, 4, 5, 6, 7, 8, 11};
  const auto inspect = [&](const Outcome& outcome, const std::string& what) {
    if (outcome.status == 0) return;
    const int code = expect_error(outcome, what)["code"];
    expect(code >= 100 || std::ranges::find(known, code) != known.end(),
           fmt::format("{} ends with {}", what, code));
  };
  const Attachment one = bench.attachment();
  inspect(failed_work(bench), "an ADD that fails");
  inspect(bench.call("ADD", one, bench.config(bench.subject().invalid)), "an invalid ADD");
  inspect(bench.call("ADD", one, bench.config(), {{"CNI_NETNS", "/nonexistent"}}),
          "an ADD without namespace");
  inspect(bench.call("DEL", one, bench.config(bench.subject().invalid)), "an invalid DEL");
  bench.ipam().answer_as_usual();
  inspect(bench.call("ADD", one, bench.request("ADD", one), {{"CNI_NETNS", "/proc/self/ns/net"}}),
          "an ADD with the plugin's own namespace");
}

Outcome run_vector(Bench& bench, const json& vector) {
  const Attachment one = bench.attachment();
  const std::string verb = vector["environment"].value("CNI_COMMAND", "");
  Program program = bench.program(verb, one, bench.config());
  const std::string path = program.environment["CNI_PATH"];
  program.environment = {{"PATH", program.environment["PATH"]}, {"CNI_PATH", path}};
  for (const auto& [name, value] : vector["environment"].items()) {
    std::string text = value;
    if (text == "{container}") text = bench.netns();
    if (text == "{host}") text = "/proc/self/ns/net";
    program.environment[name] = text;
  }
  if (vector.contains("stdin")) {
    program.in = Stream::kDirectory;
  } else if (vector["input"].is_string()) {
    program.input = vector["input"];
  } else {
    json config = bench.config();
    if (bench.kind() == kChained) {
      config["prevResult"] = bench.base_result(one, vector["input"].value("cniVersion", "1.0.0"));
    }
    config.update(vector["input"]);
    program.input = config.dump();
  }
  return run(program);
}

void vectors(Bench& bench) {
  for (const auto& [name, vector] : spec::error_vectors()) {
    const json& expected = vector["expected"];
    if (vector.contains("delegate") && bench.kind() != kMain) continue;
    if (expected["cniVersion"] > bench.version()) continue;
    if (expected["code"] == 8) continue;  // a code of usage, not of the specification
    const json& verb = vector["environment"]["CNI_COMMAND"];
    if ((verb == "GC" || verb == "STATUS") && !bench.serves("1.1.0")) continue;
    const json delegate = vector.value("delegate", json::object());
    for (const auto& [called, error] : delegate.items()) {
      bench.ipam().answer(called, {.status = 1, .out = error.dump()});
    }
    const json error = expect_error(run_vector(bench, vector), name, {expected["code"].get<int>()});
    for (const std::string word : expected["mentions"]) expect_mention(error, word, name);
  }
}

void codes(Bench& bench) {
  vectors(bench);
  if (bench.subject().invalid.empty()) return;
  const Attachment one = bench.attachment();
  json config = bench.request("ADD", one, bench.subject().invalid);
  expect_error(bench.call("ADD", one, config), "ADD with " + bench.subject().invalid.dump(), {7});
}

void not_for_ever(Bench& bench) {
  const auto inspect = [&](const Outcome& outcome, const std::string& what) {
    if (outcome.status == 0) return;
    const json error = expect_error(outcome, what);
    expect(error["code"] != 11, what + " may be tried again: " + error.dump());
  };
  const Attachment one = bench.attachment();
  inspect(refused(bench), "a refused ADD");
  inspect(failed_work(bench), "an ADD that fails");
  inspect(bench.call("ADD", one, bench.config(bench.subject().invalid)), "an invalid ADD");
}

void version_of_error(Bench& bench) {
  const Attachment one = bench.attachment();
  const json error = expect_error(failed_work(bench), "an ADD that fails");
  expect(error.value("cniVersion", json()) == bench.version(), "the error says " + error.dump());
  Program garbage = bench.program("ADD", one, bench.config());
  garbage.input = "{";
  const json unread = expect_error(run(garbage), "ADD with garbage");
  expect(!unread.value("cniVersion", "").empty(), "the error of garbage says " + unread.dump());
}

void valid_whatever(Bench& bench) {
  const Attachment one = bench.attachment();
  for (const std::string& odd :
       {std::string("a\"b\\c"), std::string("a\nb\tc\x01"), std::string("a\xff\xc3z")}) {
    expect_error(bench.call("ADD", one, bench.request("ADD", one), {{"CNI_CONTAINERID", odd}}),
                 "ADD of an odd container");
    expect_error(bench.call("ADD", one, bench.request("ADD", one), {{"CNI_IFNAME", odd + "/"}}),
                 "ADD of an odd interface");
    Program program = bench.program("ADD", one, {});
    program.input = R"({"cniVersion": "1.0.0", "name": ")" + odd + R"(", "type": "t"})";
    expect_error(run(program), "ADD of an odd network");
  }
}

std::string mutilated(std::string text, std::mt19937& random) {
  const auto below = [&](std::size_t limit) { return random() % limit; };
  for (std::size_t i = 0; i <= below(3); ++i) {
    if (text.empty()) break;
    const std::size_t place = below(text.size());
    switch (below(4)) {
      case 0:
        text[place] = static_cast<char>(below(256));
        break;
      case 1:
        text.erase(place, 1 + below(8));
        break;
      case 2:
        text.insert(place, text.substr(below(text.size()), 1 + below(12)));
        break;
      default:
        text.resize(place);
        break;
    }
  }
  return text;
}

void survives(Bench& bench) {
  std::mt19937 random(4711);  // the same in every run
  const std::vector<std::string> verbs = {"ADD", "DEL", "CHECK", "GC", "STATUS", "VERSION"};
  for (int i = 0; i < 200; ++i) {
    const Attachment one = bench.attachment("fuzz");
    const std::string& verb = verbs[random() % verbs.size()];
    const json config = bench.request("ADD", one);
    Program program = bench.program(verb, one, config);
    program.input = mutilated(config.dump(), random);
    if (i % 5 == 0) {
      for (const char* name : {"CNI_IFNAME", "CNI_CONTAINERID", "CNI_ARGS"}) {
        program.environment[name] = mutilated("abcdef=;", random).c_str();
      }
    }
    program.limit = std::chrono::seconds(30);
    const Outcome outcome = run(program);
    const std::string what =
        fmt::format("{} with {}", verb,
                    json(program.input).dump(-1, ' ', true, json::error_handler_t::replace));
    expect(outcome.signal == 0 && !outcome.timed_out, what + ": " + outcome.text());
    if (outcome.status != 0) expect_error(outcome, what);
  }
}

constexpr Clause kClauses[] = {
    {"ERR-01", kAny, object_on_stdout, true}, {"ERR-02", kAny, members},
    {"ERR-03", kAny, reserved_codes},         {"ERR-06", kAny, codes},
    {"ERR-07", kAny, not_for_ever},           {"ERR-08", kAny, version_of_error, true},
    {"ERR-09", kAny, valid_whatever},         {"ERR-10", kAny, survives},
};

}  // namespace

std::span<const Clause> error_clauses() {
  return kClauses;
}

}  // namespace conformance
