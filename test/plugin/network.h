// What the tests of plugins that make interfaces share: a private host, a network on it, and an
// IPAM plugin that records its calls.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "support/plugin_run.h"
#include "support/sandbox.h"
#include "support/snapshot.h"
#include "support/two_namespaces.h"

namespace cni::test {

using Json = nlohmann::json;

// An attachment of the network, named like its container.
struct Attached {
  Namespace* container;
  std::string id;
  std::string ifname = "eth0";
  Json result = {};  // of its ADD
};

class Network {
 public:
  // Network "net1" of `plugin_name`, with an IPAM plugin that gives 10.1.2.5/24 with the gateway
  // 10.1.2.1. Forwarding is on already: a plugin that turned it on does not turn it off again.
  explicit Network(const std::string& plugin_name);

  std::string plugin;
  Host host;
  TempDirectory directory;  // the whole CNI_PATH
  FakePlugin ipam;
  Json config;
  std::string args = {};  // CNI_ARGS

  // What IPAM answers to ADD from now on. cniVersion is 1.1.0 if it is not given.
  void give(Json answer);
  // One address of each family with gateways, and default routes.
  void give_dual_stack(const std::string& cni_version = "1.1.0");
  // From now on container "c<n>" gets 10.1.2.<n+1> and fd00:1:2::<n+1>, so that calls may run at
  // the same time.
  void give_by_number();
  // The same by a plugin that records nothing: to record takes the longer the more calls there are.
  void give_by_number_unrecorded();
  // No IPAM: layer 2.
  void without_ipam() { config.erase("ipam"); }
  // The verbs that IPAM has seen since the last call of this function.
  std::vector<std::string> take_ipam_verbs();

  Attached attachment(const std::string& id);

  // With `config`, and the result of ADD as prevResult for the other verbs.
  PluginCall call(const std::string& verb, const Attached& attached) const;
  PluginOutcome run(const std::string& verb, const Attached& attached) const {
    return run_plugin_binary(call(verb, attached));
  }
  PluginOutcome run(const std::string& verb, const Json& changed_config,
                    const Attached& attached) const;

  // The same call where shell commands have prepared the mount namespace. They have no quotes.
  PluginCall in_mount_namespace(PluginCall call, const std::string& commands) const;

  // The verb by the plugin `name` of the reference suite. It has to succeed.
  PluginOutcome run_reference(const std::string& name, const std::string& verb,
                              const Attached& attached) const;

  // ADD in a new container. It has to succeed.
  Attached add(const std::string& id);
  void add(Attached& attached) const;
  // DEL has to succeed and to say nothing.
  void del(const Attached& attached) const;

  // CHECK has to succeed and to say nothing.
  void check(const Attached& attached) const;

  // Every way between host and container takes a packet.
  void check_reach(const Attached& attached) const;

  // STATUS or GC, which are about no container, with `more` keys.
  PluginCall call_for_network(const std::string& verb, const Json& more = Json::object()) const;
  PluginOutcome status() const { return run_plugin_binary(call_for_network("STATUS")); }
  // With `valid` as the list of valid attachments.
  PluginOutcome gc(const Json& valid) const;

  // Of the host and of the state directories.
  Snapshot snapshot() const;

 private:
  std::size_t seen_calls_ = 0;
};

// An element of cni.dev/valid-attachments.
Json attachment_of(const Attached& attached);

// The host end of the veth pair, as the result of bridge tells it.
std::string port_name(const Json& result);
// The same for any plugin that makes one: it comes before the container's.
std::string host_end(const Json& result);

// One link as `ip -d -j link` shows it.
Json link(const Namespace& where, const std::string& name);
// The addresses of a link as "10.0.0.1/8", in the kernel's order, without those of scope link.
std::vector<std::string> addresses(const Namespace& where, const std::string& link);
std::string sysctl(const Namespace& where, const std::string& name);
void set_sysctl(const Namespace& where, const std::string& name, const std::string& value);
// Whether one packet is answered within a second.
bool ping(const Namespace& from, const std::string& to);

}  // namespace cni::test
