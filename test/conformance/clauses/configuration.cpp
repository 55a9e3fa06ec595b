// CFG: how a configuration is read.
#include "clause.h"
#include "netns.h"

namespace conformance {
namespace {

void add_and_del(Bench& bench, const json& patch) {
  const Attachment one = bench.attachment();
  bench.add(one, patch);
  bench.del(one, patch);
}

// ADD and DEL with a text instead of a document.
json try_text(Bench& bench, const std::string& text, const std::string& what) {
  const Attachment one = bench.attachment();
  json result;
  for (const char* verb : {"ADD", "DEL"}) {
    Program program = bench.program(verb, one, {});
    program.input = text;
    const Outcome outcome = run(program);
    expect_success(outcome, fmt::format("{} with {}", verb, what));
    if (std::string(verb) == "ADD") result = expect_result(outcome, "ADD with " + what);
  }
  return result;
}

void unknown_keys(Bench& bench) {
  json patch = json::parse(R"({"unheard-of": {"a": [1, null]}, "x": null})");
  if (bench.subject().config.contains("ipam")) patch["ipam"]["unheard-of"] = json::array({1});
  add_and_del(bench, patch);
}

void unknown_args(Bench& bench) {
  add_and_del(bench, json::parse(R"({"args": {"x": {"y": 1}, "cni": {"unheard-of": [1]}}})"));
}

Snapshot rules_only(const Snapshot& lines) {
  Snapshot kept;
  for (const std::string& line : lines) {
    if (line.starts_with("host rule ") || line.starts_with("host element ") ||
        line.starts_with("host xtables ") || line.starts_with("file ")) {
      kept.insert(line);
    }
  }
  return kept;
}

void masquerading(Bench& bench) {
  const Attachment one = bench.attachment();
  const Attachment two = bench.attachment("c2", "b");
  bench.warm_up();
  bench.netns(one);
  bench.netns(two);
  const Snapshot before = rules_only(take_snapshot());
  bench.add(one, {{"ipMasq", false}});
  expect_same(before, rules_only(take_snapshot()), "without ipMasq there are rules");
  bench.add(two, {{"ipMasq", true}});
  expect(!difference(before, rules_only(take_snapshot())).empty(),
         "with ipMasq there are no rules");
}

void runtime_keys(Bench& bench) {
  const json keys = json::parse(R"({"capabilities": {"portMappings": true, "mac": false},
      "args": {}, "cni.dev/valid-attachments": [{"containerID": "c1", "ifname": "eth0"}],
      "cni.dev/attachments": []})");
  const Attachment one = bench.attachment();
  bench.add(one, keys);
  if (bench.serves("0.4.0")) {
    expect_success(bench.call("CHECK", one, bench.request("CHECK", one, keys)), "CHECK");
  }
  if (bench.serves("1.1.0")) {
    for (const char* verb : {"STATUS", "GC"}) {
      expect_success(bench.call(verb, one, bench.config(keys)), verb);
    }
  }
  bench.del(one, keys);
}

// The text of a configuration with some of its keys written otherwise.
std::string rewritten(const std::string& text, const std::string& from, const std::string& to) {
  const std::size_t place = text.find(from);
  expect(place != std::string::npos, from + " is not in " + text);
  return text.substr(0, place) + to + text.substr(place + from.size());
}

void tolerant_keys(Bench& bench) {
  const std::string text = bench.request("ADD", bench.attachment()).dump();
  const std::string version = fmt::format(R"("cniVersion":"{}")", bench.version());
  // The last one, so that not that of a prevResult is meant.
  const std::string named = R"("name":"net1")";
  try_text(bench, rewritten(text, named, R"("NAME":"net1")"), "NAME");
  try_text(bench, rewritten(text, named, R"("name":"../x","name":"net1")"), "two names");
  try_text(bench, rewritten(text, named, R"("name":"net1","args":null,"dns":null)"), "null");
  const json result =
      try_text(bench, rewritten(text, version, rewritten(version, "cniVersion", "CNIVERSION")),
               "CNIVERSION");
  expect(result.value("cniVersion", "") == bench.version(), "CNIVERSION gives " + result.dump());
}

void any_form(Bench& bench) {
  const std::string text = bench.request("ADD", bench.attachment()).dump();
  try_text(bench, rewritten(text, R"("net1")", R"("\u006eet1")"), "an escaped name");
  try_text(bench,
           rewritten(text, "{",
                     R"({"a":"\u003c\u003e\u0026\ud83d\ude00","b":123456789012345678901,)"
                     R"("c":-1.5e300,"d":[[[[]]]],)"),
           "escapes and large numbers");
  try_text(bench, "\n\t " + bench.request("ADD", bench.attachment()).dump(3) + "\r\n",
           "white space");
}

void wrong_types(Bench& bench) {
  const Attachment one = bench.attachment();
  std::vector<json> wrong = {json::parse(R"({"cniVersion": [1]})"),
                             json::parse(R"({"name": {"a": 1}})")};
  if (bench.kind() == kMain) {
    wrong.push_back(json::parse(R"({"ipam": [1]})"));
    wrong.push_back(json::parse(R"({"mtu": {}})"));
    wrong.push_back(json::parse(R"({"ipMasq": "yes"})"));
  }
  if (bench.kind() == kIpam) {
    wrong.push_back(json::parse(R"({"ipam": {"ranges": {"subnet": 1}}})"));
    wrong.push_back(json::parse(R"({"ipam": {"routes": 5}})"));
  }
  if (bench.kind() == kChained) wrong.push_back(json::parse(R"({"prevResult": [1]})"));
  for (const json& patch : wrong) {
    json config = bench.request("ADD", one);
    for (const auto& [key, value] : patch.items()) {
      json& place = config[key];
      if (place.is_object() && value.is_object()) {
        place.update(value);
      } else {
        place = value;
      }
    }
    expect_error(bench.call("ADD", one, config), "ADD with " + patch.dump(), {6, 7});
  }
}

constexpr Clause kClauses[] = {
    {"CFG-01", kAny, unknown_keys},  {"CFG-02", kAny, unknown_args},
    {"CFG-03", kMain, masquerading}, {"CFG-04", kAny, runtime_keys, true},
    {"CFG-05", kAny, tolerant_keys}, {"CFG-06", kAny, any_form},
    {"CFG-07", kAny, wrong_types},
};

}  // namespace

std::span<const Clause> configuration_clauses() {
  return kClauses;
}

}  // namespace conformance
