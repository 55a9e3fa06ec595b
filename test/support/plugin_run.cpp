#include "support/plugin_run.h"

#include <cstdlib>

namespace cni::test {

std::string plugin_directory() {
  const char* chosen = std::getenv("CNI_TEST_BIN");
  return chosen != nullptr && *chosen != '\0' ? chosen : CNI_TEST_BIN_DIRECTORY;
}

int PluginOutcome::code() const {
  if (!json || !json->is_object()) return 0;
  const auto found = json->find("code");
  return found != json->end() && found->is_number_integer() ? found->get<int>() : 0;
}

std::string PluginOutcome::message() const {
  std::string text;
  if (!json || !json->is_object()) return text;
  for (const char* key : {"msg", "details"}) {
    const auto found = json->find(key);
    if (found == json->end() || !found->is_string()) continue;
    text += (text.empty() ? "" : ": ") + found->get<std::string>();
  }
  return text;
}

PluginOutcome run_plugin_binary(const PluginCall& call) {
  const bool is_path = call.plugin.find('/') != std::string::npos;
  Environment environment = plain_environment();
  environment["CNI_COMMAND"] = call.verb;
  environment["CNI_CONTAINERID"] = call.container_id;
  environment["CNI_NETNS"] = call.netns;
  environment["CNI_IFNAME"] = call.ifname;
  environment["CNI_PATH"] = call.path.empty() ? plugin_directory() : call.path;
  if (!call.args.empty()) environment["CNI_ARGS"] = call.args;
  for (const auto& [name, value] : call.environment) {
    if (value) {
      environment[name] = *value;
    } else {
      environment.erase(name);
    }
  }
  PluginOutcome outcome;
  static_cast<Outcome&>(outcome) = run({
      .argv = {is_path ? call.plugin : plugin_directory() + "/" + call.plugin},
      .environment = environment,
      .input = call.config,
      .netns = call.host,
      .stdout_path = call.stdout_path,
      .stdout_closed = call.stdout_closed,
      .limit = call.limit,
  });
  nlohmann::json parsed = nlohmann::json::parse(outcome.out, nullptr, /*allow_exceptions=*/false);
  if (!parsed.is_discarded()) outcome.json = std::move(parsed);
  return outcome;
}

}  // namespace cni::test
