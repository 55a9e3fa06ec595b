// What the tests of portmap share: a host with a bridge and a neighbour, containers made by hand,
// and the choice of the store for rules.
#pragma once

#include <deque>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "support/echo.h"
#include "support/plugin_run.h"
#include "support/sandbox.h"
#include "support/snapshot.h"
#include "support/two_namespaces.h"

namespace cni::test {

using Json = nlohmann::json;

enum class PortmapStore : std::uint8_t { kNative, kDialect, kLegacy };

std::string name_of(PortmapStore store);

// The test runs once for each.
PortmapStore any_store();

// An attachment of "net1", on the bridge.
struct MappedPod {
  Namespace* container;
  std::string id;
  std::string v4;  // without prefix length
  std::string v6;
  Json result;  // prevResult
  std::string ifname = "eth0";
};

class PortmapNetwork {
 public:
  // Bridge br0 with 10.1.2.1/24 and fd00:1:2::1/64; the host is 192.0.2.1 and 2001:db8::1 for
  // `lan`, which is 192.0.2.2 and 2001:db8::2.
  explicit PortmapNetwork(PortmapStore store = PortmapStore::kNative);

  const PortmapStore store;
  Host host;
  Namespace lan{"lan", Namespace::Loopback::kUp};
  EchoServers servers;
  Json config;

  // Container `number` (2 to 250) is "c<number>", at 10.1.2.<number> and fd00:1:2::<number>. With
  // `connected` it has the link, and a server of its name for each protocol at port 80.
  MappedPod& add_container(unsigned number, bool connected = false);

  static Json mapping(unsigned host_port, unsigned container_port = 80,
                      const std::string& protocol = "tcp", const Json& more = Json::object());
  void map(const std::vector<Json>& mappings) {
    config["runtimeConfig"]["portMappings"] = mappings;
  }

  PluginCall call(const std::string& verb, const MappedPod& pod) const;
  PluginOutcome run(const std::string& verb, const MappedPod& pod) const {
    return run_plugin_binary(call(verb, pod));
  }
  // The reference suite's portmap, with the same configuration.
  PluginOutcome run_reference(const std::string& verb, const MappedPod& pod) const;
  // It has to succeed; ADD has to print prevResult, the others nothing.
  void must(const std::string& verb, const MappedPod& pod) const;
  void must_by_reference(const std::string& verb, const MappedPod& pod) const;
  // What CHECK says; empty if all is well.
  std::string check(const MappedPod& pod) const;

  // Lines of table nat ("-A ...") that speak of host ports, as the flavour of the store lists them.
  std::vector<std::string> rules(int family) const;
  Snapshot snapshot() const { return Snapshot::take(host.path(), {"/var/lib/cni"}); }

 private:
  TempDirectory programs_;
  std::deque<MappedPod> pods_;
};

}  // namespace cni::test
