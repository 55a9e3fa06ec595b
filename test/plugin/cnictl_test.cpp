// cnictl with plugins that record how they are called.
#include <catch2/catch.hpp>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <vector>

#include "support/plugin_run.h"
#include "support/sandbox.h"
#include "support/two_namespaces.h"

using Catch::Contains;
using namespace cni::test;  // NOLINT(google-build-using-namespace)

namespace {

constexpr const char* kFirstResult =
    R"({"cniVersion": "1.0.0", "interfaces": [{"name": "eth0", "sandbox": "x", "private": 1}],
        "ips": [{"address": "10.1.1.5/24", "gateway": "10.1.1.1", "interface": 0}],
        "private": true})";
constexpr const char* kSecondResult =
    R"({"interfaces": [{"name": "eth0"}], "ips": [{"address": "10.1.1.6/24", "interface": 0}],
        "routes": [{"dst": "0.0.0.0/0", "gw": "10.1.1.1"}], "dns": {"nameservers": ["1.1.1.1"]}})";

// A network "web" of the plugins "first" and "second".
class Web {
 public:
  Web() {
    first.reply("ADD", {.out = kFirstResult});
    second.reply("ADD", {.out = kSecondResult});
    set_list(nlohmann::json::object());
  }

  TempDirectory directory;
  FakePlugin first{directory / "bin", "first"};
  FakePlugin second{directory / "bin", "second"};
  Environment environment = plain_environment();

  // `keys` of the list beside its name and plugins.
  void set_list(const nlohmann::json& keys) const {
    nlohmann::json list = {{"cniVersion", "1.1.0"},
                           {"name", "web"},
                           {"plugins",
                            {{{"type", "first"}, {"any", {1, 2}}},
                             {{"type", "second"}, {"capabilities", {{"mac", true}}}}}}};
    list.update(keys);
    directory.write("net.d/10-web.conflist", list.dump());
  }

  Outcome run(std::vector<std::string> words) const {
    words.insert(words.begin(), plugin_directory() + "/cnictl");
    Environment variables = environment;
    variables["NETCONFPATH"] = directory / "net.d";
    variables["CNI_PATH"] = directory / "bin";
    return cni::test::run({.argv = std::move(words), .environment = variables});
  }
  // With a cache of this case's own.
  Outcome attach(const std::string& verb, std::vector<std::string> more = {}) const {
    std::vector<std::string> words = {verb, "web", "/run/netns/c",
                                      "--cache-dir=" + directory / "cache"};
    words.insert(words.end(), more.begin(), more.end());
    return run(words);
  }
  Outcome collect(std::vector<std::string> more = {}) const {
    std::vector<std::string> words = {"gc", "web", "--cache-dir=" + directory / "cache"};
    words.insert(words.end(), more.begin(), more.end());
    return run(words);
  }

  std::vector<std::string> cached() const {
    std::vector<std::string> names;
    std::error_code absent;
    for (const auto& entry :
         std::filesystem::directory_iterator(directory / "cache/results", absent)) {
      names.push_back(entry.path().filename().string());
    }
    return names;
  }
};

std::vector<std::string> verbs(const FakePlugin& plugin) {
  std::vector<std::string> verbs;
  for (const FakePlugin::Call& call : plugin.calls()) verbs.push_back(call.verb());
  return verbs;
}

using Verbs = std::vector<std::string>;

// From `printf %s /run/netns/c | sha512sum`.
constexpr const char* kContainer = "cnitool-0608cee9f61ac76429f8";

}  // namespace

TEST_CASE("cnictl add hands each result to the next plugin", "[cnictl]") {
  Web web;
  web.environment["CAP_ARGS"] = R"({"mac": "02:00:00:00:00:01", "ips": ["10.0.0.1"]})";
  web.environment["CNI_ARGS"] = "K=V;L=";
  const Outcome added = web.attach("add", {"--json"});
  INFO(added.text());
  REQUIRE(added.status == 0);

  const FakePlugin::Call first = web.first.calls().at(0);
  CHECK(first.input == R"({"any":[1,2],"cniVersion":"1.1.0","name":"web","type":"first"})");
  CHECK(first.environment.at("CNI_CONTAINERID") == kContainer);
  CHECK(first.environment.at("CNI_NETNS") == "/run/netns/c");
  CHECK(first.environment.at("CNI_IFNAME") == "eth0");
  CHECK(first.environment.at("CNI_ARGS") == "K=V;L=");
  CHECK(first.environment.at("CNI_PATH") == web.directory / "bin");

  // Read as a result and written anew: private members do not travel.
  CHECK(web.second.calls().at(0).input ==
        R"({"capabilities":{"mac":true},"cniVersion":"1.1.0","name":"web","prevResult":)"
        R"({"cniVersion":"1.1.0","interfaces":[{"name":"eth0","sandbox":"x"}],)"
        R"("ips":[{"address":"10.1.1.5/24","gateway":"10.1.1.1","interface":0}]},)"
        R"("runtimeConfig":{"mac":"02:00:00:00:00:01"},"type":"second"})");

  nlohmann::json expected = nlohmann::json::parse(kSecondResult);
  expected["cniVersion"] = "1.1.0";
  CHECK(nlohmann::json::parse(added.out) == expected);
  REQUIRE(web.cached() == Verbs{std::string("web-") + kContainer + "-eth0"});
  const nlohmann::json cache =
      nlohmann::json::parse(read_whole_file(web.directory / "cache/results/" + web.cached()[0]));
  CHECK(cache["result"] == expected);
  CHECK(cache["cniArgs"] == nlohmann::json::parse(R"([["K","V"],["L",""]])"));
  CHECK(cache["netns"] == "/run/netns/c");
}

TEST_CASE("cnictl add says in short lines what came of it", "[cnictl]") {
  const Web web;
  const Outcome added = web.attach("add", {"-i", "net1", "--container-id", "c7"});
  CHECK(added.status == 0);
  CHECK_THAT(added.out, Contains("added net1 of c7 (/run/netns/c) in network web, CNI 1.1.0\n") &&
                            Contains("  interface  eth0, host\n") &&
                            Contains("  address    10.1.1.6/24 on eth0\n") &&
                            Contains("  route      0.0.0.0/0 via 10.1.1.1\n") &&
                            Contains("  dns        nameservers 1.1.1.1\n") &&
                            Contains("  took       first ") && Contains(" ms, second "));
  CHECK(web.cached() == Verbs{"web-c7-net1"});
}

TEST_CASE("cnictl check gives every plugin the last result", "[cnictl]") {
  const Web web;
  REQUIRE(web.attach("add").status == 0);
  const Outcome checked = web.attach("check");
  INFO(checked.text());
  CHECK(checked.status == 0);
  for (const FakePlugin* plugin : {&web.first, &web.second}) {
    const nlohmann::json config = nlohmann::json::parse(plugin->calls().at(1).input);
    CHECK(config["prevResult"]["ips"][0]["address"] == "10.1.1.6/24");
  }

  SECTION("and none if nothing is cached") {
    CHECK(web.attach("check", {"-i", "other"}).status == 0);
    CHECK_FALSE(nlohmann::json::parse(web.first.calls().at(2).input).contains("prevResult"));
  }
  SECTION("and asks nobody if the list says so") {
    web.set_list({{"disableCheck", true}});
    CHECK_THAT(web.attach("check").out, Contains("disableCheck"));
    CHECK(verbs(web.first) == Verbs{"ADD", "CHECK"});
  }
  SECTION("and is refused before 0.4.0") {
    web.set_list({{"cniVersion", "0.3.1"}});
    const Outcome refused = web.attach("check", {"--json"});
    CHECK(refused.status == 1);
    CHECK(nlohmann::json::parse(refused.out)["code"] == 1);
    CHECK(verbs(web.first) == Verbs{"ADD", "CHECK"});
  }
}

TEST_CASE("cnictl del goes backwards and forgets", "[cnictl]") {
  Web web;
  REQUIRE(web.attach("add").status == 0);

  SECTION("after success") {
    CHECK(web.attach("del").status == 0);
    CHECK(web.cached().empty());
    CHECK(nlohmann::json::parse(web.first.calls().at(1).input)["prevResult"]["ips"][0]["address"] ==
          "10.1.1.6/24");
    CHECK(web.attach("del").status == 0);
    CHECK_FALSE(nlohmann::json::parse(web.first.calls().at(2).input).contains("prevResult"));
  }
  SECTION("with what ADD got, unless it is told anew") {
    web.environment["CAP_ARGS"] = R"({"mac": "02:00:00:00:00:01"})";
    web.environment["CNI_ARGS"] = "K=V";
    REQUIRE(web.attach("add", {"-i", "net1"}).status == 0);
    web.environment.erase("CAP_ARGS");
    web.environment.erase("CNI_ARGS");
    CHECK(web.attach("check", {"-i", "net1"}).status == 0);
    CHECK(web.attach("del", {"-i", "net1"}).status == 0);
    for (const std::size_t call : {2U, 3U}) {
      CHECK(web.second.calls().at(call).environment.at("CNI_ARGS") == "K=V");
      CHECK(nlohmann::json::parse(web.second.calls().at(call).input)["runtimeConfig"]["mac"] ==
            "02:00:00:00:00:01");
    }
    web.environment["CAP_ARGS"] = "{}";
    REQUIRE(web.attach("add", {"-i", "net1"}).status == 0);
    CHECK(web.attach("del", {"-i", "net1"}).status == 0);
    CHECK_FALSE(nlohmann::json::parse(web.second.calls().at(5).input).contains("runtimeConfig"));
  }
  SECTION("and keeps the result if a plugin fails") {
    web.second.reply("DEL",
                     {.out = R"({"code": 11, "msg": "later", "details": "d"})", .status = 1});
    const Outcome failed = web.attach("del");
    CHECK(failed.status == 1);
    CHECK(failed.out.empty());
    CHECK(failed.err ==
          "DEL failed in plugin 2 of 2, second: later\n"
          "  code       11, try again later\n"
          "  details    d\n");
    CHECK(verbs(web.first) == Verbs{"ADD"});
    CHECK(web.cached().size() == 1);
  }
  SECTION("and gives no result before 0.4.0") {
    web.set_list({{"cniVersion", "0.3.1"}});
    CHECK(web.attach("del").status == 0);
    CHECK_FALSE(nlohmann::json::parse(web.first.calls().at(1).input).contains("prevResult"));
  }
}

TEST_CASE("cnictl add that fails rolls back with DEL for the whole list", "[cnictl]") {
  Web web;
  web.second.reply("ADD", {.out = R"({"code": 100, "msg": "no"})", .status = 1});

  SECTION("always") {
    const Outcome failed = web.attach("add", {"--json"});
    CHECK(failed.status == 1);
    const nlohmann::json error = nlohmann::json::parse(failed.out);
    CHECK(error["code"] == 100);
    CHECK(error["msg"] == "no");
    CHECK(error["verb"] == "ADD");
    CHECK(error["plugin"] == nlohmann::json({{"type", "second"}, {"position", 2}, {"count", 2}}));
    CHECK(error["rollback"] == "done");
    CHECK(verbs(web.first) == Verbs{"ADD", "DEL"});
    CHECK(verbs(web.second) == Verbs{"ADD", "DEL"});
    CHECK(web.cached().empty());
  }
  SECTION("unless it is told not to") {
    const Outcome failed = web.attach("add", {"--no-rollback"});
    CHECK(failed.status == 1);
    CHECK_THAT(failed.err, Contains("ADD failed in plugin 2 of 2, second: no\n") &&
                               Contains("100, the plugin's own") && Contains("--no-rollback"));
    CHECK(verbs(web.first) == Verbs{"ADD"});
  }
  SECTION("also if what a plugin prints is no result") {
    web.second.reply("ADD", {.out = "hello"});
    const Outcome failed = web.attach("add");
    CHECK(failed.status == 1);
    CHECK_THAT(failed.err, Contains("ADD failed in plugin 2 of 2, second"));
    CHECK(verbs(web.first) == Verbs{"ADD", "DEL"});
  }
  SECTION("but does not take down an attachment that was there before") {
    web.second.reply("ADD", {.out = kSecondResult});
    REQUIRE(web.attach("add").status == 0);
    web.first.reply("ADD", {.out = R"({"code": 999, "msg": "exists"})", .status = 1});
    const Outcome failed = web.attach("add", {"--json"});
    CHECK(failed.status == 1);
    CHECK(nlohmann::json::parse(failed.out)["rollback"] == "attached before");
    CHECK(verbs(web.first) == Verbs{"ADD", "ADD"});
    CHECK(web.cached().size() == 1);
  }
}

TEST_CASE("cnictl add with a stdout that cannot be written is undone", "[cnictl]") {
  const Web web;
  Environment variables = web.environment;
  variables["NETCONFPATH"] = web.directory / "net.d";
  variables["CNI_PATH"] = web.directory / "bin";
  const Outcome failed = cni::test::run({.argv = {plugin_directory() + "/cnictl", "add", "web", "c",
                                                  "--cache-dir", web.directory / "cache"},
                                         .environment = variables,
                                         .stdout_path = "/dev/full"});
  CHECK(failed.status == 1);
  CHECK(verbs(web.first) == Verbs{"ADD", "DEL"});
  CHECK(web.cached().empty());
}

TEST_CASE("cnictl calls nobody if the request is wrong", "[cnictl]") {
  const Web web;
  CHECK(web.attach("add", {"-i", "much-too-long-a-name"}).status == 1);
  CHECK(web.attach("add", {"--container-id", "../c"}).status == 1);
  CHECK(web.run({"add", "nothing", "c"}).status == 1);
  CHECK(web.run({"add", "web"}).status == 2);
  CHECK(web.run({"frobnicate"}).status == 2);
  CHECK(web.run({}).status == 2);
  web.set_list({{"cniVersion", "9.9.9"}});
  CHECK(web.attach("add").status == 1);
  CHECK(web.first.calls().empty());
}

TEST_CASE("cnictl status asks in order, with empty variables", "[cnictl]") {
  Web web;
  web.environment["CNI_NETNS"] = "/inherited";
  web.environment["CNI_ARGS"] = "A=B";
  CHECK(web.run({"status", "web"}).status == 0);
  const FakePlugin::Call call = web.second.calls().at(0);
  CHECK(call.verb() == "STATUS");
  CHECK(call.input ==
        R"({"capabilities":{"mac":true},"cniVersion":"1.1.0","name":"web","type":"second"})");
  for (const char* name : {"CNI_CONTAINERID", "CNI_NETNS", "CNI_ARGS", "CNI_IFNAME"}) {
    CHECK(call.environment.at(name).empty());
  }

  SECTION("and stops at the first that says no") {
    web.first.reply("STATUS", {.out = R"({"code": 50, "msg": "full"})", .status = 1});
    const Outcome failed = web.run({"status", "web"});
    CHECK(failed.status == 1);
    CHECK_THAT(failed.err, Contains("first: full") && Contains("50, plugin not available"));
    CHECK(verbs(web.second) == Verbs{"STATUS"});
  }
  SECTION("and asks nobody before 1.1.0") {
    web.set_list({{"cniVersion", "1.0.0"}});
    CHECK(web.run({"status", "web"}).status == 0);
    CHECK(verbs(web.first) == Verbs{"STATUS"});
  }
}

TEST_CASE("cnictl gc tells those in use from those that are not", "[cnictl]") {
  Web web;
  Host host;
  const std::string alive = host.path();
  const std::string cache = "--cache-dir=" + web.directory / "cache";
  web.environment["CNI_ARGS"] = "K=V";
  web.environment["CAP_ARGS"] = R"({"mac": "02:00:00:00:00:01"})";
  REQUIRE(web.run({"add", "web", alive, "--container-id", "alive", cache}).status == 0);
  web.environment.erase("CNI_ARGS");
  web.environment.erase("CAP_ARGS");
  web.directory.write("cache/results/web-dead-eth0",
                      R"({"kind":"cniCacheV1","containerId":"dead","config":"","ifName":"eth0",)"
                      R"("networkName":"web","netns":"/run/netns/gone","cniArgs":[["K","V"]],)"
                      R"("capabilityArgs":{"mac":"02:00:00:00:00:02"}})");

  SECTION("by their namespaces") {
    const Outcome collected = web.collect();
    INFO(collected.text());
    CHECK(collected.status == 0);
    CHECK(verbs(web.first) == Verbs{"ADD", "DEL", "GC"});
    const FakePlugin::Call del = web.second.calls().at(1);
    CHECK(del.environment.at("CNI_CONTAINERID") == "dead");
    CHECK(del.environment.at("CNI_NETNS") == "/run/netns/gone");
    CHECK(del.environment.at("CNI_ARGS") == "K=V");
    CHECK(nlohmann::json::parse(del.input)["runtimeConfig"]["mac"] == "02:00:00:00:00:02");
    CHECK(web.first.calls().at(2).input ==
          R"({"any":[1,2],"cni.dev/attachments":[{"containerID":"alive","ifname":"eth0"}],)"
          R"("cni.dev/valid-attachments":[{"containerID":"alive","ifname":"eth0"}],)"
          R"("cniVersion":"1.1.0","name":"web","type":"first"})");
    CHECK(web.first.calls().at(2).environment.at("CNI_CONTAINERID").empty());
    CHECK(web.cached() == Verbs{"web-alive-eth0"});
  }
  SECTION("by an explicit list") {
    CHECK(web.collect({"--valid", "dead/eth0"}).status == 0);
    CHECK(web.first.calls().at(1).environment.at("CNI_CONTAINERID") == "alive");
    CHECK(web.cached() == Verbs{"web-dead-eth0"});
  }
  SECTION("and only says so if asked") {
    const Outcome dry = web.collect({"--dry-run"});
    CHECK(dry.status == 0);
    CHECK_THAT(dry.out, Contains("would go   dead/eth0") && Contains("in use     alive/eth0"));
    CHECK(verbs(web.first) == Verbs{"ADD"});
    CHECK(web.cached().size() == 2);
  }
  SECTION("and not at all if the list says so") {
    web.set_list({{"disableGC", "true"}});
    CHECK(web.collect().status == 0);
    CHECK(verbs(web.first) == Verbs{"ADD"});
    CHECK(web.cached().size() == 2);
  }
  SECTION("with DEL only before 1.1.0") {
    web.set_list({{"cniVersion", "1.0.0"}});
    CHECK(web.collect().status == 0);
    CHECK(verbs(web.first) == Verbs{"ADD", "DEL"});
  }
  SECTION("and goes on after failures") {
    web.second.reply("DEL", {.out = R"({"code": 11, "msg": "busy"})", .status = 1});
    web.first.reply("GC", {.out = R"({"code": 100, "msg": "no"})", .status = 1});
    const Outcome failed = web.collect({"--json"});
    CHECK(failed.status == 1);
    CHECK(nlohmann::json::parse(failed.out)["msg"] ==
          "cannot delete dead/eth0: busy; cannot collect garbage with plugin first: no");
    CHECK(verbs(web.second) == Verbs{"ADD", "DEL", "GC"});
    CHECK(web.cached().size() == 2);
  }
}

TEST_CASE("cnictl version tells plugins from other programs", "[cnictl]") {
  Web web;
  web.first.reply("VERSION",
                  {.out = R"({"cniVersion": "1.1.0", "supportedVersions": ["1.0.0"]})", .err = ""});
  web.first.reply_to_all({.err = "CNI another-name plugin v7\nmore\n"});
  web.second.reply("VERSION", {.out = "usage: second"});
  web.directory.write("bin/third", "#!/bin/sh\nexit 3\n", 0755);
  web.directory.write("bin/readme", "no program");
  const Outcome told = web.run({"version", "--json"});
  INFO(told.text());
  CHECK(told.status == 0);
  const nlohmann::json programs = nlohmann::json::parse(told.out)["programs"];
  REQUIRE(programs.size() == 3);
  CHECK(programs[0] == nlohmann::json({{"name", "first"},
                                       {"path", web.directory / "bin/first"},
                                       {"plugin", true},
                                       {"version", "v7"},
                                       {"supportedVersions", {"1.0.0"}}}));
  CHECK(programs[1]["problem"] == "its answer to VERSION is no JSON");
  CHECK(programs[2]["problem"] == "exit status 3");
  const FakePlugin::Call asked = web.first.calls().at(0);
  CHECK(asked.input == R"({"cniVersion":"1.1.0"})");
  for (const char* name : {"CNI_NETNS", "CNI_IFNAME", "CNI_PATH"}) {
    CHECK(asked.environment.at(name) == "dummy");
  }
  CHECK_THAT(web.run({"version"}).out, Contains("bin/first   v7, CNI 1.0.0\n") &&
                                           Contains("not a CNI plugin (exit status 3)\n"));
}

TEST_CASE("cnictl lint answers with its exit status", "[cnictl]") {
  const Web web;
  const std::string good = web.directory.write(
      "good.conflist", R"({"cniVersion": "1.1.0", "name": "web", "plugins": [{"type": "first"}]})");
  const std::string bad = web.directory.write("bad.conflist", R"({"cniVersion": "1.1.0"})");
  CHECK(web.run({"lint", good}).status == 0);
  const Outcome found = web.run({"lint", good, bad, web.directory / "absent", "--json"});
  CHECK(found.status == 1);
  const nlohmann::json document = nlohmann::json::parse(found.out);
  CHECK(document["errors"] == 3);
  CHECK(document["hints"] == 1);
  CHECK(document["findings"][1]["file"] == bad);
  CHECK_THAT(web.run({"lint", bad}).out,
             Contains("bad.conflist: error: name: the network has no name\n") &&
                 Contains("1 file: 2 errors, 0 warnings, 0 hints\n"));
}

TEST_CASE("cnictl explains itself", "[cnictl]") {
  const Web web;
  for (const char* command : {"add", "check", "del", "status", "gc", "version", "lint"}) {
    const Outcome help = web.run({command, "--help"});
    CHECK(help.status == 0);
    CHECK_THAT(help.out, Contains("usage: cnictl " + std::string(command)) && Contains("--json") &&
                             Contains("--help"));
    CHECK_THAT(web.run({"--help"}).out, Contains(std::string("  ") + command + " "));
  }
  CHECK_THAT(web.run({"--version"}).out, Contains("cnictl v"));
}
