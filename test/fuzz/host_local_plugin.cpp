#include "fuzz/host_local_plugin.h"

// They are in its anonymous namespace, which is this file's as well.
#define main host_local_main
#include "host-local-ipam/host-local-ipam.cpp"
#undef main

namespace cni::fuzz::host_local_plugin {

Result add(const Request& request, Undo& undo) {
  return ::add(request, undo);
}
void check(const Request& request) {
  ::check(request);
}
void del(const Request& request) {
  ::del(request);
}
void status(const Request& request) {
  ::status(request);
}
void gc(const Request& request) {
  ::gc(request);
}

Request call(Command command, const std::string& conf, const std::string& container_id) {
  const NetConf parsed = NetConf::parse(conf);
  return {.command = command,
          .environment = {.command = std::string(text(command)),
                          .container_id = container_id,
                          .netns = "",
                          .ifname = "eth0",
                          .args = "",
                          .path = "",
                          .netns_override = false},
          .conf = parsed,
          .version = parsed.version(),
          .netns = std::nullopt};
}

}  // namespace cni::fuzz::host_local_plugin
