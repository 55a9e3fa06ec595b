#include "support/plugin_run.h"

#include <catch2/catch.hpp>

#include "support/two_namespaces.h"

using cni::test::FakePlugin;
using cni::test::run_plugin_binary;
using cni::test::TempDirectory;

TEST_CASE("a plugin is run with the environment of a runtime", "[support]") {
  const TempDirectory directory;
  FakePlugin plugin(directory.path(), "fake");
  plugin.reply_to_all({.out = R"({"code": 7, "msg": "bad", "details": "key"})", .status = 1});
  cni::test::Host host;

  const auto outcome =
      run_plugin_binary({.plugin = plugin.path(),
                         .verb = "ADD",
                         .config = "{}",
                         .netns = "/run/netns/x",
                         .environment = {{"CNI_IFNAME", std::nullopt}, {"MORE", "1"}},
                         .host = host.path()});
  INFO(outcome.text());
  CHECK(outcome.status == 1);
  CHECK(outcome.code() == 7);
  CHECK(outcome.message() == "bad: key");

  const auto call = plugin.calls().at(0);
  CHECK(call.input == "{}");
  CHECK(call.environment.at("CNI_COMMAND") == "ADD");
  CHECK(call.environment.at("CNI_CONTAINERID") == "test-container");
  CHECK(call.environment.at("CNI_NETNS") == "/run/netns/x");
  CHECK(call.environment.at("CNI_PATH") == cni::test::plugin_directory());
  CHECK(call.environment.at("MORE") == "1");
  CHECK(call.environment.count("CNI_IFNAME") == 0);
  CHECK(call.environment.count("CNI_ARGS") == 0);
}

TEST_CASE("stdout that is not one document has no json", "[support]") {
  const TempDirectory directory;
  FakePlugin plugin(directory.path(), "fake");
  for (const char* text : {"", "{} {}", "{", "text"}) {
    plugin.reply_to_all({.out = text});
    const auto outcome = run_plugin_binary({.plugin = plugin.path(), .verb = "DEL"});
    CHECK(outcome.out == text);
    CHECK_FALSE(outcome.json.has_value());
  }
}
