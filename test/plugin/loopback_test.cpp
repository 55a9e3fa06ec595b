#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>

#include "support/plugin_run.h"
#include "support/sandbox.h"
#include "support/snapshot.h"
#include "support/two_namespaces.h"

using Catch::Contains;
using Json = nlohmann::json;
using namespace cni::test;  // NOLINT(google-build-using-namespace)

namespace {

struct Loopback {
  Host host;
  Namespace& container = host.add_container();
  Json config = {{"cniVersion", "1.1.0"}, {"name", "lo"}, {"type", "loopback"}};

  PluginCall call(const std::string& verb) const {
    return {.plugin = "loopback",
            .verb = verb,
            .config = config.dump(),
            .netns = container.path(),
            .ifname = "lo",
            .host = host.path()};
  }
  PluginOutcome run(const std::string& verb) const { return run_plugin_binary(call(verb)); }

  bool is_up() const {
    return container.run("ip -o link show lo").find(",UP") != std::string::npos;
  }
  Snapshot snapshot() const { return Snapshot::take(container.path()); }
};

Json expected_result(const Loopback& loopback) {
  return {
      {"cniVersion", "1.1.0"},
      {"interfaces",
       {{{"name", "lo"}, {"mac", "00:00:00:00:00:00"}, {"sandbox", loopback.container.path()}}}},
      {"ips",
       {{{"address", "127.0.0.1/8"}, {"interface", 0}},
        {{"address", "::1/128"}, {"interface", 0}}}}};
}

}  // namespace

TEST_CASE("loopback goes through all verbs", "[loopback][ipv6]") {
  Loopback lo;
  // The kernel leaves 127.0.0.1 on it for good.
  lo.container.run("ip link set lo up");
  lo.container.run("ip link set lo down");
  const Snapshot before = lo.snapshot();
  const Snapshot host_before = Snapshot::take(lo.host.path());
  CHECK_FALSE(lo.is_up());
  Json result;
  for (int round = 0; round < 2; ++round) {
    const PluginOutcome added = lo.run("ADD");
    INFO(added.text());
    CHECK(added.status == 0);
    REQUIRE(added.json);
    result = *added.json;
    result.erase("dns");
    CHECK(result == expected_result(lo));
    CHECK(lo.is_up());
  }
  // With and without the previous result.
  CHECK(lo.run("CHECK").status == 0);
  lo.config["prevResult"] = result;
  const PluginOutcome check = lo.run("CHECK");
  CHECK(check.status == 0);
  CHECK(check.out.empty());
  for (int round = 0; round < 2; ++round) {
    const PluginOutcome deleted = lo.run("DEL");
    INFO(deleted.text());
    CHECK(deleted.status == 0);
    CHECK(deleted.out.empty());
    CHECK_FALSE(lo.is_up());
  }
  CHECK(difference(before, lo.snapshot()) == "");
  CHECK(difference(host_before, Snapshot::take(lo.host.path())) == "");
}

TEST_CASE("loopback ignores the name of the interface but for its form", "[loopback]") {
  Loopback lo;
  PluginCall call = lo.call("ADD");
  call.ifname = "eth0";
  CHECK(run_plugin_binary(call).json->at("interfaces")[0]["name"] == "lo");
  CHECK(lo.is_up());
  call.ifname = "a/b";
  CHECK(run_plugin_binary(call).code() == 4);
}

TEST_CASE("results of loopback have the shape of the asked spec version", "[loopback][ipv6]") {
  Loopback lo;
  const std::string version =
      GENERATE("", "0.1.0", "0.2.0", "0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0");
  lo.config["cniVersion"] = version;
  const PluginOutcome outcome = lo.run("ADD");
  INFO(outcome.text());
  REQUIRE(outcome.status == 0);
  const Json& result = *outcome.json;
  CHECK(result["cniVersion"] == (version.empty() ? "0.1.0" : version));
  if (version < "0.3.0") {
    CHECK(result["ip4"] == Json{{"ip", "127.0.0.1/8"}});
    CHECK(result["ip6"] == Json{{"ip", "::1/128"}});
    CHECK_FALSE(result.contains("interfaces"));
  } else {
    CHECK(result["interfaces"].size() == 1);
    CHECK(result["ips"].size() == 2);
    CHECK(result["ips"][0].contains("version") == (version < "1.0.0"));
  }
  CHECK(lo.run("DEL").status == 0);
}

TEST_CASE("a chained loopback hands on the previous result", "[loopback]") {
  Loopback lo;
  const Json previous = {
      {"cniVersion", "1.1.0"},
      {"interfaces",
       {{{"name", "eth0"}, {"mac", "02:00:00:00:00:01"}, {"sandbox", lo.container.path()}}}},
      {"ips", {{{"address", "10.1.2.5/24"}, {"gateway", "10.1.2.1"}, {"interface", 0}}}},
      {"routes", {{{"dst", "0.0.0.0/0"}, {"mtu", 1400}}}},
      {"dns", {{"nameservers", {"10.1.2.1"}}}}};
  lo.config["prevResult"] = previous;
  const PluginOutcome outcome = lo.run("ADD");
  INFO(outcome.text());
  CHECK(outcome.status == 0);
  CHECK(*outcome.json == previous);
  CHECK(lo.is_up());
}

TEST_CASE("a previous result that cannot be read stops loopback first", "[loopback]") {
  Loopback lo;
  for (const Json& previous : {Json("text"), Json{{"ips", {{{"address", "rubbish"}}}}},
                               Json{{"ips", {{{"address", "10.1.2.5/24"}, {"interface", 99}}}}}}) {
    lo.config["prevResult"] = previous;
    const PluginOutcome outcome = lo.run("ADD");
    INFO(outcome.text());
    CHECK(outcome.code() == 7);
    CHECK_FALSE(lo.is_up());
  }
}

TEST_CASE("an address that is none of a loopback", "[loopback]") {
  Loopback lo;
  const bool up_before = GENERATE(false, true);
  if (up_before) lo.container.run("ip link set lo up");
  lo.container.run("ip address add 10.9.9.9/32 dev lo");
  const Snapshot before = lo.snapshot();
  const PluginOutcome outcome = lo.run("ADD");
  INFO(outcome.text());
  CHECK(outcome.code() == 999);
  CHECK(outcome.message() == "loopback interface found with non-loopback address \"10.9.9.9\"");
  CHECK(lo.is_up() == up_before);
  if (up_before) {
    CHECK(difference(before, lo.snapshot()) == "");
    // Somebody may have added it later, which is none of CHECK's business.
    CHECK(lo.run("CHECK").status == 0);
  }
}

TEST_CASE("CHECK of a loopback that is down", "[loopback]") {
  Loopback lo;
  const PluginOutcome outcome = lo.run("CHECK");
  CHECK(outcome.code() == 999);
  CHECK(outcome.message() == "loopback interface is down");
}

TEST_CASE("loopback and namespaces that are none", "[loopback]") {
  Loopback lo;
  for (const std::string path :
       {"/run/netns/no-such", "/etc/passwd", "/run", "/proc/self/ns/mnt"}) {
    INFO(path);
    for (const char* verb : {"ADD", "CHECK"}) {
      PluginCall call = lo.call(verb);
      call.netns = path;
      CHECK(run_plugin_binary(call).code() == 8);
    }
    PluginCall del = lo.call("DEL");
    del.netns = path;
    CHECK(run_plugin_binary(del).status == 0);
  }
  PluginCall del = lo.call("DEL");
  del.netns = "";
  CHECK(run_plugin_binary(del).status == 0);
}

TEST_CASE("loopback leaves the host's own alone", "[loopback]") {
  Loopback lo;
  for (const char* verb : {"ADD", "CHECK", "DEL"}) {
    PluginCall call = lo.call(verb);
    call.netns = lo.host.path();
    CHECK(run_plugin_binary(call).code() == 8);
  }
  CHECK(lo.host.run("ip -o link show lo").find(",UP") != std::string::npos);
  PluginCall call = lo.call("DEL");
  call.netns = lo.host.path();
  call.environment["CNI_NETNS_OVERRIDE"] = "true";
  CHECK(run_plugin_binary(call).status == 0);
  CHECK(lo.host.run("ip -o link show lo").find(",UP") == std::string::npos);
}

TEST_CASE("loopback sets lo down again if nobody hears its result", "[loopback]") {
  Loopback lo;
  PluginCall call = lo.call("ADD");
  SECTION("stdout is full") {
    call.stdout_path = "/dev/full";
  }
  SECTION("stdout is closed") {
    call.stdout_closed = true;
  }
  CHECK(run_plugin_binary(call).status == 1);
  CHECK_FALSE(lo.is_up());
  // Unless somebody else had set it up.
  lo.container.run("ip link set lo up");
  CHECK(run_plugin_binary(call).status == 1);
  CHECK(lo.is_up());
}

TEST_CASE("loopback has nothing to report and nothing to collect", "[loopback]") {
  Loopback lo;
  REQUIRE(lo.run("ADD").status == 0);
  const Snapshot before = lo.snapshot();
  for (const char* verb : {"STATUS", "GC"}) {
    PluginCall call = lo.call(verb);
    call.environment = {{"CNI_CONTAINERID", std::nullopt},
                        {"CNI_NETNS", std::nullopt},
                        {"CNI_IFNAME", std::nullopt}};
    const PluginOutcome outcome = run_plugin_binary(call);
    INFO(outcome.text());
    CHECK(outcome.status == 0);
    CHECK(outcome.out.empty());
  }
  CHECK(difference(before, lo.snapshot()) == "");
  const PluginOutcome version = lo.run("VERSION");
  CHECK(version.json->at("supportedVersions").size() == 7);
}

TEST_CASE("loopback and the reference suite's take each other's place", "[loopback][reference]") {
  Loopback lo;
  lo.config["cniVersion"] = "1.0.0";
  const auto reference = [&](const char* verb) {
    PluginCall call = lo.call(verb);
    call.plugin = "/usr/lib/cni/loopback";
    return run_plugin_binary(call);
  };
  const PluginOutcome theirs = reference("ADD");
  REQUIRE(theirs.status == 0);
  CHECK(lo.run("CHECK").status == 0);
  const PluginOutcome ours = lo.run("ADD");
  Json their_result = *theirs.json;
  Json our_result = *ours.json;
  their_result.erase("dns");
  our_result.erase("dns");
  CHECK(our_result == their_result);
  CHECK(lo.run("DEL").status == 0);
  CHECK_FALSE(lo.is_up());
  CHECK(lo.run("ADD").status == 0);
  CHECK(reference("CHECK").status == 0);
  CHECK(reference("DEL").status == 0);
  CHECK_FALSE(lo.is_up());
}
