// What the tests of masquerading share: pods of the bridge plugin, the plugin masquerade called by
// itself for them, and destinations beyond lan and far.
//
//   lan   also 198.18.0.0/15 and 2001:db8:1000::/36, every address of them
//   far   also 203.0.113.0/24 and 2001:db8:2000::/36
#pragma once

#include <functional>
#include <optional>
#include <string>

#include "plugin/traffic_network.h"

namespace cni::test {

class MasqueradeNetwork {
 public:
  // Servers "lan" and "far" answer at port 7 of all these addresses.
  explicit MasqueradeNetwork(Store store);

  TrafficHost net;
  Json config;  // of the plugin masquerade, with the backend of the store

  // On bridge "a" and not masqueraded.
  Pod& add_pod(const std::string& id);

  // A call of `plugin` with `config`, for the pod; with its result as prevResult.
  PluginCall call(const std::string& verb, const Pod& pod) const;
  PluginOutcome run(const std::string& verb, const Pod& pod) const {
    return run_plugin_binary(call(verb, pod));
  }
  // It has to succeed.
  void succeed(const std::string& verb, const Pod& pod) const;
  // STATUS or GC, which are about no container.
  PluginOutcome run_for_network(const std::string& verb, const Json& more = Json::object()) const;

  // As whom the pod is seen at an address: "<server> saw <address>".
  std::string seen(const Pod& pod, const std::string& to) const;

  // Of the host.
  Snapshot snapshot() const { return net.snapshot(); }
};

// Calls `check` for every store of rules, each in a section of its own.
void in_every_store(const std::function<void(Store)>& check);

// The same with a network and "pod", which was masqueraded once: in the stores of xtables built-in
// chains stay for good from then on.
void with_pod_in_every_store(const std::function<void(MasqueradeNetwork&, Pod&)>& check);

// An element of cni.dev/valid-attachments.
Json attachment_of(const Pod& pod);

}  // namespace cni::test
