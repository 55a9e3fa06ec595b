// Runs a plugin that was built, the way a runtime does.
#pragma once

#include <chrono>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>

#include "support/sandbox.h"

namespace cni::test {

// Where the plugins are: $CNI_TEST_BIN, else the bin/ of this build.
std::string plugin_directory();

struct PluginCall {
  // A name in plugin_directory(), or a path with a slash.
  std::string plugin;
  // CNI_COMMAND.
  std::string verb;
  // stdin: a JSON text.
  std::string config = {};
  std::string container_id = "test-container";
  // CNI_NETNS.
  std::string netns = {};
  std::string ifname = "eth0";
  // CNI_ARGS; not set if empty.
  std::string args = {};
  // CNI_PATH; empty: plugin_directory().
  std::string path = {};
  // Over all of the above: sets a variable, or unsets it (std::nullopt).
  std::map<std::string, std::optional<std::string>> environment = {};
  // Path of the network namespace the plugin runs in; empty: that of the calling thread.
  std::string host = {};
  std::string stdout_path = {};
  bool stdout_closed = false;
  std::chrono::milliseconds limit = std::chrono::seconds(60);
};

struct PluginOutcome : Outcome {
  // stdout, if it is exactly one JSON document.
  std::optional<nlohmann::json> json = {};

  // "code" of an error object; 0 if there is none.
  int code() const;
  // "msg" and "details" of an error object, joined by ": " if both are there.
  std::string message() const;
};

PluginOutcome run_plugin_binary(const PluginCall& call);

}  // namespace cni::test
