// GEN: how a plugin is called, and how it ends.
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>

#include "clause.h"
#include "kernel.h"
#include "netns.h"

namespace conformance {
namespace {

const std::vector<std::string> kAttachmentVerbs = {"ADD", "CHECK", "DEL"};

// The commands with a configuration that the version under test knows.
std::vector<std::string> verbs(const Bench& bench) {
  std::vector<std::string> known = {"ADD"};
  if (bench.serves("0.4.0")) known.emplace_back("CHECK");
  if (bench.serves("1.1.0")) known.insert(known.end(), {"GC", "STATUS"});
  known.emplace_back("DEL");
  return known;
}

std::vector<std::string> attachment_verbs(const Bench& bench) {
  return bench.serves("0.4.0") ? kAttachmentVerbs : std::vector<std::string>{"ADD", "DEL"};
}

// A refused call: the code, and nothing changed.
json refused(Bench& bench, const std::string& verb, const Changes& changes, int code,
             const std::string& what) {
  const Attachment one = bench.attachment();
  return expect_error(bench.call(verb, one, bench.request(verb, one), changes), what, {code});
}

void unknown_command(Bench& bench) {
  bench.netns();
  const Snapshot before = take_snapshot();
  for (const char* verb : {"NOPE", "add", " ADD"}) {
    const json error = refused(bench, verb,
                               {{"CNI_NETNS", bench.netns()},
                                {"CNI_CONTAINERID", "c1"},
                                {"CNI_IFNAME", bench.subject().ifname}},
                               4, fmt::format("CNI_COMMAND={}", verb));
    expect_mention(error, "CNI_COMMAND", verb);
  }
  expect_same(before, "unknown commands change something");
}

void exit_status(Bench& bench) {
  bench.warm_up();
  const Attachment one = bench.attachment();
  bench.netns(one);
  bench.request("ADD", one);
  const Snapshot before = take_snapshot();
  const Outcome bad = bench.call("ADD", one, bench.config({{"name", ""}}));
  expect(bad.status != 0, "an ADD without network name ends with status 0");
  expect_same(before, "an ADD that failed changes something");
  bench.add(one);
  expect(!difference(before, take_snapshot()).empty(), "an ADD that ends with 0 changes nothing");
  bench.del(one);
  expect_same(before, "a DEL that ends with 0 leaves something");
}

void whole_input(Bench& bench) {
  const Attachment one = bench.attachment();
  json config = bench.request("ADD", one);
  Program slow = bench.program("ADD", one, config);
  slow.byte_by_byte = true;
  const json result = expect_result(run(slow), "ADD with one byte per write");
  bench.remember(one, result);
  bench.del(one);
  config["padding"] = std::string(2 << 20, 'x');
  bench.remember(one, expect_result(bench.call("ADD", one, config), "ADD with 2 MiB"));
  bench.del(one);
}

void container_id_needed(Bench& bench) {
  for (const std::string& verb : attachment_verbs(bench)) {
    for (const auto& value : {std::optional<std::string>(), std::optional<std::string>("")}) {
      const std::string what =
          fmt::format("{} with CNI_CONTAINERID {}", verb, value ? "empty" : "unset");
      expect_mention(refused(bench, verb, {{"CNI_CONTAINERID", value}}, 4, what), "CNI_CONTAINERID",
                     what);
    }
  }
}

void container_id_characters(Bench& bench) {
  for (const char* id : {"/a", ".a", "-a", "a b", "a/../b", "\xc3\xa4", "a\n", "a\xff"}) {
    for (const std::string& verb : attachment_verbs(bench)) {
      refused(bench, verb, {{"CNI_CONTAINERID", id}}, 4,
              fmt::format("{} of container {}", verb,
                          json(id).dump(-1, ' ', true, json::error_handler_t::replace)));
    }
  }
  for (const char* id : {"a", "A_9.-", "9"}) {
    const Attachment one = bench.attachment(id);
    bench.add(one);
    bench.del(one);
  }
}

void variables_needed(Bench& bench) {
  const auto needs = [&](const std::string& verb, const std::string& name) {
    const std::string what = fmt::format("{} without {}", verb, name);
    expect_mention(refused(bench, verb, {{name, std::nullopt}}, 4, what), name, what);
  };
  for (const std::string& verb : attachment_verbs(bench)) {
    if (verb != "DEL") needs(verb, "CNI_NETNS");
    needs(verb, "CNI_IFNAME");
  }
}

void del_without_netns(Bench& bench) {
  const Attachment one = bench.attachment();
  for (const auto& value : {std::optional<std::string>(), std::optional<std::string>("")}) {
    bench.add(one);
    expect_success(bench.call("DEL", one, bench.request("DEL", one), {{"CNI_NETNS", value}}),
                   fmt::format("DEL with CNI_NETNS {}", value ? "empty" : "unset"));
    bench.del(one);
  }
}

void interface_names(Bench& bench) {
  for (const char* name : {"sixteen-letters-", "a/b", "a:b", "a b", ".", "..", "a\tb"}) {
    for (const std::string& verb : attachment_verbs(bench)) {
      refused(bench, verb, {{"CNI_IFNAME", name}}, 4,
              fmt::format("{} of interface {:?}", verb, std::string(name)));
    }
  }
}

void no_arguments(Bench& bench) {
  const Attachment one = bench.attachment();
  bench.add(one);
  if (bench.serves("0.4.0")) bench.check(one, "without CNI_ARGS");
  bench.del(one);
}

void path_optional(Bench& bench) {
  const Attachment one = bench.attachment();
  const Changes pathless = {{"CNI_PATH", std::nullopt}};
  if (bench.kind() != kMain) {
    const Outcome added = bench.call("ADD", one, bench.request("ADD", one), pathless);
    bench.remember(one, expect_result(added, "ADD without CNI_PATH"));
    for (const std::string& verb : verbs(bench)) {
      if (verb == "ADD" || verb == "GC") continue;
      expect_success(bench.call(verb, one, bench.request(verb, one), pathless),
                     verb + " without CNI_PATH");
    }
  }
  if (!bench.serves("1.1.0")) return;
  expect_mention(refused(bench, "GC", pathless, 4, "GC without CNI_PATH"), "CNI_PATH", "GC");
}

void network_verbs(Bench& bench) {
  for (const char* verb : {"STATUS", "GC"}) {
    expect_success(bench.call(verb, bench.attachment(), bench.config()), verb);
  }
}

void empty_is_unset(Bench& bench) {
  const Attachment one = bench.attachment();
  bench.add(one);
  expect_success(bench.call("DEL", one, bench.request("DEL", one),
                            {{"CNI_NETNS", ""}, {"CNI_ARGS", ""}, {"CNI_NETNS_OVERRIDE", ""}}),
                 "DEL with empty variables");
  bench.del(one);
  const Changes empty = {
      {"CNI_CONTAINERID", ""}, {"CNI_NETNS", ""}, {"CNI_IFNAME", ""}, {"CNI_ARGS", ""}};
  expect_success(bench.call("VERSION", one, bench.config(), empty), "VERSION with empty variables");
  if (!bench.serves("1.1.0")) return;
  for (const char* verb : {"STATUS", "GC"}) {
    expect_success(bench.call(verb, one, bench.config(), empty),
                   fmt::format("{} with empty variables", verb));
  }
}

void all_missing_variables(Bench& bench) {
  const json error = refused(bench, "ADD",
                             {{"CNI_CONTAINERID", std::nullopt},
                              {"CNI_NETNS", std::nullopt},
                              {"CNI_IFNAME", std::nullopt},
                              {"CNI_PATH", std::nullopt}},
                             4, "ADD with CNI_COMMAND alone");
  for (const char* name : {"CNI_CONTAINERID", "CNI_NETNS", "CNI_IFNAME"}) {
    expect_mention(error, name, "ADD with CNI_COMMAND alone");
  }
}

void unreadable_input(Bench& bench) {
  const auto fails = [&](Stream in, const std::string& what, const std::vector<int>& codes) {
    Program program = bench.program("ADD", bench.attachment(), bench.config());
    program.in = in;
    expect_error(run(program), "ADD with stdin " + what, codes);
  };
  fails(Stream::kDirectory, "a directory", {5});
  fails(Stream::kWriteOnly, "for writing only", {5});
  fails(Stream::kClosed, "closed", {5, 6});
}

void undecodable_input(Bench& bench) {
  const auto fails = [&](const std::string& text, const std::vector<int>& codes) {
    Program program = bench.program("ADD", bench.attachment(), bench.config());
    program.input = text;
    expect_error(run(program), fmt::format("ADD with input {:?}", text), codes);
  };
  const std::string good = bench.config().dump();
  json numeric = bench.config();
  numeric["cniVersion"] = 1;
  for (const std::string& text :
       {std::string(), std::string("{"), std::string("nul"), std::string("[]"), good + "x",
        numeric.dump(), "\xef\xbb\xbf" + good}) {
    fails(text, {6});
  }
  fails("null", {6, 7});
}

void name_needed(Bench& bench) {
  const Attachment one = bench.attachment();
  for (const std::string& verb : verbs(bench)) {
    json config = bench.request(verb, one);
    config["name"] = "";
    expect_error(bench.call(verb, one, config), verb + " with an empty name", {7});
    config.erase("name");
    expect_error(bench.call(verb, one, config), verb + " without a name", {7});
  }
}

void name_characters(Bench& bench) {
  const Attachment one = bench.attachment();
  for (const std::string& name :
       {std::string("../x"), std::string("a/b"), std::string("-a"), std::string("a\0b", 3)}) {
    for (const std::string& verb : verbs(bench)) {
      expect_error(bench.call(verb, one, bench.request(verb, one, {{"name", name}})),
                   fmt::format("{} of network {:?}", verb, name), {7});
    }
  }
}

void one_document(Bench& bench) {
  const Attachment one = bench.attachment();
  const Changes chatty = {{"CNI_LOG", "debug"}, {"DEBUG", "1"}};
  const json config = bench.request("ADD", one);
  bench.remember(one, expect_result(bench.call("ADD", one, config, chatty), "ADD, asked to log,"));
  expect_result(bench.call("VERSION", one, bench.config(), chatty), "VERSION, asked to log,");
  json nameless = config;
  nameless.erase("name");
  expect_error(bench.call("ADD", one, nameless, chatty), "a refused ADD, asked to log,");
  expect_silence(bench.call("DEL", one, bench.request("DEL", one), chatty), "DEL, asked to log,");
}

void no_partial_result(Bench& bench) {
  const Attachment one = bench.attachment();
  if (bench.kind() == kMain) {
    // The gateway of the route cannot be reached: this shows only when the interface is there.
    bench.ipam().give(json::parse(R"({"ips": [{"address": "10.88.0.9/24", "gateway": "10.88.0.1"}],
                                      "routes": [{"dst": "10.1.0.0/16", "gw": "192.0.2.1"}]})"));
    expect_error(bench.call("ADD", one), "ADD with a route that cannot be");
    return;
  }
  // The first list of ranges is served, the second has nothing to give.
  const json config =
      bench.config({{"ipam", {{"ranges", json::parse(R"([[{"subnet": "10.77.0.0/27"}],
           [{"subnet": "10.78.0.0/24", "rangeStart": "10.78.0.1", "rangeEnd": "10.78.0.1"}]])")}}}});
  expect_error(bench.call("ADD", one, config), "ADD with a full range");
}

void refused_without_effect(Bench& bench) {
  const Attachment one = bench.attachment();
  bench.netns(one);
  bench.request("ADD", one);
  const Snapshot before = take_snapshot();
  for (const std::string& verb : verbs(bench)) {
    if (verb != "GC" && verb != "STATUS") {
      bench.call(verb, one, bench.request(verb, one), {{"CNI_CONTAINERID", "-"}});
      bench.call(verb, one, bench.request(verb, one), {{"CNI_IFNAME", "a/b"}});
    }
    bench.call(verb, one, bench.request(verb, one, {{"name", "-"}}));
    bench.call(verb, one, bench.request(verb, one, {{"cniVersion", "9.9.9"}}));
    bench.call("NOPE", one, bench.request(verb, one));
    expect_same(before, "a refused " + verb + " changes something");
    const auto calls = bench.ipam().verbs();
    expect(calls.empty(), fmt::format("after a refused {} the IPAM plugin was called for {}", verb,
                                      fmt::join(calls, ", ")));
  }
}

void without_stderr(Bench& bench) {
  const Attachment one = bench.attachment();
  for (const Stream err : {Stream::kClosed, Stream::kFullDevice}) {
    for (const char* verb : {"ADD", "DEL"}) {
      Program program = bench.program(verb, one, bench.request(verb, one));
      program.environment["CNI_LOG"] = "debug";
      program.err = err;
      const Outcome outcome = run(program);
      const std::string what =
          fmt::format("{} with stderr {}", verb, err == Stream::kClosed ? "closed" : "full");
      expect_success(outcome, what);
      if (program.environment["CNI_COMMAND"] == "ADD") {
        bench.remember(one, expect_result(outcome, what));
      }
    }
  }
}

void odd_surroundings(Bench& bench) {
  const Attachment one = bench.attachment();
  const auto try_with = [&](const std::string& what, const std::function<void(Program&)>& change) {
    for (const char* verb : {"ADD", "DEL"}) {
      Program program = bench.program(verb, one, bench.request(verb, one));
      change(program);
      const Outcome outcome = run(program);
      expect_success(outcome, fmt::format("{} with {}", verb, what));
      if (program.environment["CNI_COMMAND"] == "ADD") {
        bench.remember(one, expect_result(outcome, "ADD with " + what));
      }
    }
  };
  try_with("arguments",
           [](Program& program) { program.argv.insert(program.argv.end(), {"--help", "x"}); });
  try_with("a German locale",
           [](Program& program) { program.environment["LC_ALL"] = "de_DE.UTF-8"; });
  try_with("umask 0777", [](Program& program) { program.prepare = [] { ::umask(0777); }; });
  try_with("a deleted directory", [](Program& program) {
    program.prepare = [] {
      const std::string path = std::string(kWorkDirectory) + "/gone";
      ::mkdir(path.c_str(), 0700);
      if (::chdir(path.c_str()) != 0) ::_exit(126);
      ::rmdir(path.c_str());
    };
  });
}

void foreign_variables(Bench& bench) {
  const Attachment one = bench.attachment();
  const Changes foreign = {{"TRACEPARENT", "00-ab-cd-01"}, {"BAGGAGE", "a=b"}, {"X_Y", ""}};
  expect_result(bench.call("ADD", one, bench.request("ADD", one), foreign), "ADD");
  const auto calls = bench.ipam().calls();
  expect(!calls.empty(), "the IPAM plugin was not called");
  for (const auto& [name, value] : foreign) {
    const auto& seen = calls.front().environment;
    expect(seen.contains(name) && seen.at(name) == *value,
           fmt::format("the IPAM plugin did not get {}", name));
  }
}

constexpr Clause kClauses[] = {
    {"GEN-01", kAny, unknown_command},
    {"GEN-02", kAny, exit_status},
    {"GEN-03", kAny, whole_input},
    {"GEN-04", kAny, container_id_needed},
    {"GEN-05", kAny, container_id_characters},
    {"GEN-06", kAny, variables_needed, true},
    {"GEN-07", kAny, del_without_netns},
    {"GEN-08", kAny, interface_names},
    {"GEN-09", kAny, no_arguments},
    {"GEN-10", kAny, path_optional},
    {"GEN-11", kAny, network_verbs},
    {"GEN-12", kAny, empty_is_unset},
    {"GEN-13", kAny, all_missing_variables},
    {"GEN-14", kAny, unreadable_input},
    {"GEN-15", kAny, undecodable_input},
    {"GEN-16", kAny, name_needed, true},
    {"GEN-17", kAny, name_characters},
    {"GEN-18", kAny, one_document},
    {"GEN-19", kMain | kIpam, no_partial_result},
    {"GEN-20", kAny, refused_without_effect},
    {"GEN-21", kAny, without_stderr},
    {"GEN-22", kAny, odd_surroundings},
    {"GEN-23", kMain, foreign_variables},
};

}  // namespace

std::span<const Clause> invocation_clauses() {
  return kClauses;
}

}  // namespace conformance
