#include "cnictl/plugin_request.h"

#include <catch2/catch.hpp>

#include "cnictl/net_list.h"
#include "json/parse.h"

using cni::cnictl::Additions;
using cni::cnictl::NetList;
using cni::cnictl::plugin_request;

namespace {

NetList list_with(const std::string& plugin) {
  return cni::cnictl::parse_list(R"({"cniVersion": "1.1.0", "name": "web",
      "loadOnlyInlinedPlugins": true, "plugins": [)" +
                                     plugin + "]}",
                                 "web.conflist");
}

std::string request(const std::string& plugin, const Additions& additions = {}) {
  const NetList list = list_with(plugin);
  return plugin_request(list, list.plugins.front(), additions);
}

}  // namespace

TEST_CASE("A plugin gets the name and version of the list, and its own keys", "[cnictl]") {
  CHECK(request(R"({"type": "a", "name": "own", "cniVersion": "0.3.0", "any": {"b": 1}})") ==
        R"({"any":{"b":1},"cniVersion":"1.1.0","name":"web","type":"a"})");
}

TEST_CASE("Keys of the list do not reach a plugin", "[cnictl]") {
  CHECK(request(R"({"type": "a"})").find("loadOnlyInlinedPlugins") == std::string::npos);
}

TEST_CASE("A list without a version gives the key nevertheless", "[cnictl]") {
  const NetList list =
      cni::cnictl::parse_list(R"({"name": "web", "plugins": [{"type": "a"}]})", "web.conflist");
  CHECK(plugin_request(list, list.plugins.front(), {}) ==
        R"({"cniVersion":"","name":"web","type":"a"})");
}

TEST_CASE("Data of the runtime reaches a plugin that declares the capability only", "[cnictl]") {
  const Additions additions{
      .capability_args = cni::json::parse(R"({"mac": "02:00:00:00:00:01", "ips": ["10.0.0.1"]})")};
  CHECK(request(R"({"type": "a", "capabilities": {"mac": true, "dns": true, "ips": false}})",
                additions) ==
        R"({"capabilities":{"dns":true,"ips":false,"mac":true},"cniVersion":"1.1.0",)"
        R"("name":"web","runtimeConfig":{"mac":"02:00:00:00:00:01"},"type":"a"})");
  CHECK(request(R"({"type": "a", "capabilities": {"dns": true}})", additions) ==
        R"({"capabilities":{"dns":true},"cniVersion":"1.1.0","name":"web","type":"a"})");
  CHECK(request(R"({"type": "a"})", additions) ==
        R"({"cniVersion":"1.1.0","name":"web","type":"a"})");
}

TEST_CASE("A previous result replaces one that was in the file", "[cnictl]") {
  const Additions additions{.prev_result = cni::json::parse(R"({"ips": []})")};
  CHECK(request(R"({"type": "a", "prevResult": {"old": 1}})", additions) ==
        R"({"cniVersion":"1.1.0","name":"web","prevResult":{"ips":[]},"type":"a"})");
}

TEST_CASE("GC tells the valid attachments under both keys", "[cnictl]") {
  const std::string plugin = R"({"type": "bridge", "bridge": "br0",
      "ipam": {"type": "host-local", "subnet": "10.9.0.0/24"}})";
  CHECK(request(plugin, {.valid_attachments = {{{.container_id = "c1", .ifname = "eth0"}}}}) ==
        R"({"bridge":"br0","cni.dev/attachments":[{"containerID":"c1","ifname":"eth0"}],)"
        R"("cni.dev/valid-attachments":[{"containerID":"c1","ifname":"eth0"}],)"
        R"("cniVersion":"1.1.0","ipam":{"subnet":"10.9.0.0/24","type":"host-local"},)"
        R"("name":"web","type":"bridge"})");
  CHECK(request(R"({"type": "a"})", {.valid_attachments = std::vector<cni::Attachment>()}) ==
        R"({"cni.dev/attachments":[],"cni.dev/valid-attachments":[],)"
        R"("cniVersion":"1.1.0","name":"web","type":"a"})");
}
