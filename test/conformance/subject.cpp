#include "subject.h"

namespace conformance {
namespace {

using nlohmann::json;
using nlohmann::literals::operator""_json;

Subject bridge() {
  return {.name = "bridge",
          .kind = kMain,
          .config = R"({"bridge": "test0", "isGateway": true, "ipam": {"type": "test-ipam"}})"_json,
          .invalid = R"({"vlan": 5000})"_json};
}

Subject routed(const std::string& name) {
  return {.name = name,
          .kind = kMain,
          .config = R"({"ipam": {"type": "test-ipam"}})"_json,
          .invalid = R"({"mtu": "x"})"_json};
}

Subject host_local(const std::string& name) {
  json config = R"({"ipam": {"ranges": [[{"subnet": "10.77.0.0/27"}]],
                             "routes": [{"dst": "0.0.0.0/0"}]}})"_json;
  config["ipam"]["type"] = name;
  return {.name = name,
          .kind = kIpam,
          .config = config,
          .invalid = R"({"ipam": {"ranges": [[{"subnet": "x"}]]}})"_json};
}

Subject portmap() {
  return {.name = "portmap",
          .kind = kChained,
          .config = R"({"capabilities": {"portMappings": true}, "runtimeConfig": {"portMappings": [
              {"hostPort": 8080, "containerPort": 80, "protocol": "tcp"}]}})"_json,
          .invalid = R"({"runtimeConfig": {"portMappings": [
              {"hostPort": 0, "containerPort": 80, "protocol": "tcp"}]}})"_json};
}

Subject masquerade() {
  return {.name = "masquerade",
          .kind = kChained,
          .config = json::object(),
          .invalid = R"({"masqueradeCIDRs": "x"})"_json};
}

Subject loopback() {
  return {.name = "loopback",
          .kind = kLoopback,
          .config = json::object(),
          .invalid = json::object(),
          .ifname = "lo"};
}

}  // namespace

const std::vector<Subject>& known_subjects() {
  static const std::vector<Subject> all = {bridge(),
                                           routed("ptp"),
                                           routed("veth"),
                                           loopback(),
                                           host_local("host-local"),
                                           host_local("host-local-ipam"),
                                           masquerade(),
                                           portmap()};
  return all;
}

const char* text(Kind kind) {
  switch (kind) {
    case kMain:
      return "makes an interface";
    case kIpam:
      return "gives addresses";
    case kChained:
      return "adds to an attachment";
    default:
      return "sets lo up";
  }
}

}  // namespace conformance
