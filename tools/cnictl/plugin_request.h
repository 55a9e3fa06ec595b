// What one plugin of a list gets on its stdin.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "json/value.h"
#include "net_list.h"
#include "protocol/net_conf.h"

namespace cni::cnictl {

// What the runtime adds to the configuration of a plugin.
struct Additions {
  std::optional<json::Value> prev_result = {};
  // Data by capability, an object; each plugin gets what it declares.
  json::Value capability_args = json::Value::object();
  // GC only.
  std::optional<std::vector<Attachment>> valid_attachments = {};
};

// The plugin's configuration with the name and the version of the list in place of its own, and the
// additions. Unknown keys stay. In the form of sorted_json().
std::string plugin_request(const NetList& list, const PluginConf& plugin,
                           const Additions& additions);

}  // namespace cni::cnictl
