#include "plugin_request.h"

#include "encode.h"

namespace cni::cnictl {
namespace {

using json::Value;

// Whatever was there under the same name: the last member counts.
void set(Value& object, const char* key, Value value) {
  object.get_ref<Value::object_t&>().emplace_back(key, std::move(value));
}

Value attachment_list(const std::vector<Attachment>& attachments) {
  Value list = Value::array();
  for (const Attachment& attachment : attachments) {
    Value element = Value::object();
    element["containerID"] = attachment.container_id;
    element["ifname"] = attachment.ifname;
    list.push_back(std::move(element));
  }
  return list;
}

}  // namespace

std::string plugin_request(const NetList& list, const PluginConf& plugin,
                           const Additions& additions) {
  Value request = plugin.document;
  set(request, "name", list.name);
  set(request, "cniVersion", list.version_text);
  if (additions.prev_result) set(request, "prevResult", *additions.prev_result);

  Value runtime_config = Value::object();
  for (const std::string& capability : plugin.capabilities) {
    const auto data = additions.capability_args.find(capability);
    if (data != additions.capability_args.end()) runtime_config[capability] = *data;
  }
  if (!runtime_config.empty()) set(request, "runtimeConfig", std::move(runtime_config));

  if (additions.valid_attachments) {
    // The first is the key of the spec's current text, the second that of the tagged 1.1.0.
    const Value valid = attachment_list(*additions.valid_attachments);
    set(request, "cni.dev/valid-attachments", valid);
    set(request, "cni.dev/attachments", valid);
  }
  return sorted_json(request);
}

}  // namespace cni::cnictl
