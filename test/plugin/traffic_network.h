// What the traffic tests share: a host that forwards between two outer networks and two bridges,
// pods by chains of plugins, and the rule store they use.
//
//     lan                  far             192.0.2.2, 2001:db8:1::2; 198.51.100.2, 2001:db8:2::2
//      |                    |
//     up0                  up1             192.0.2.1 and .11, 2001:db8:1::1 and ::11; 198.51.100.1
//      +------- host -------+
//      |                    |
//     br-a                 br-b            10.1.0.1/24, fd00:1::1/64; 10.2.0.1/24, fd00:2::1/64
//
// lan and far know by which way pods are reached, so that a pod's own address can be seen there.
#pragma once

#include <array>
#include <deque>
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

// Where the rules of a test go, and what PATH has to offer there.
enum class Store : std::uint8_t {
  kNative,       // backend nftables, no program in PATH
  kIptablesNft,  // backend iptables, iptables is iptables-nft
  kIptablesLegacy,
};

std::string name_of(Store store);

// "nftables" or "iptables": the value of `backend` and its like.
std::string backend_of(Store store);

struct Family {
  const char* name;
  const char* host;         // of up0
  const char* other_host;   // of up0 too
  const char* host_at_far;  // of up1
  const char* lan;
  const char* far;
  const char* loopback;
  const char* gateway_a;
  const char* gateway_b;
  const char* any;
};

constexpr Family kIpv4 = {.name = "IPv4",
                          .host = "192.0.2.1",
                          .other_host = "192.0.2.11",
                          .host_at_far = "198.51.100.1",
                          .lan = "192.0.2.2",
                          .far = "198.51.100.2",
                          .loopback = "127.0.0.1",
                          .gateway_a = "10.1.0.1",
                          .gateway_b = "10.2.0.1",
                          .any = "0.0.0.0"};
constexpr Family kIpv6 = {.name = "IPv6",
                          .host = "2001:db8:1::1",
                          .other_host = "2001:db8:1::11",
                          .host_at_far = "2001:db8:2::1",
                          .lan = "2001:db8:1::2",
                          .far = "2001:db8:2::2",
                          .loopback = "::1",
                          .gateway_a = "fd00:1::1",
                          .gateway_b = "fd00:2::1",
                          .any = "::"};
inline constexpr std::array kFamilies = {kIpv4, kIpv6};

// The port of the host that most tests map.
constexpr std::uint16_t kPort = 8080;

// An attachment, named like its container.
struct Pod {
  Namespace* container;
  std::string id;
  std::vector<Json> chain;  // as a runtime gives it to the plugins, but for prevResult
  Json result = {};

  // Its address of that family, without the prefix length.
  std::string address(const Family& family) const;
};

class TrafficHost {
 public:
  // Pods come and go by plugins that use `store`. Their servers speak `protocols`.
  explicit TrafficHost(Store store,
                       std::vector<Protocol> protocols = {Protocol::kTcp, Protocol::kUdp});

  const Store store;
  const std::vector<Protocol> protocols;
  Host host;
  Namespace lan{"lan", Namespace::Loopback::kUp};
  Namespace far{"far", Namespace::Loopback::kUp};
  EchoServers servers;

  // The first plugin of a chain: "a" and "b" are bridges as above, without ipMasq.
  Json bridge(const std::string& letter) const;
  Json portmap(const Json& mappings) const;

  // A new container and the chain that a runtime has for it; `network` is the name of the list.
  Pod attachment(const std::string& network, const std::string& id, std::vector<Json> chain);
  // ADD of every plugin, as a runtime does it. It has to succeed.
  Pod& add(const std::string& network, const std::string& id, std::vector<Json> chain);
  // The same, with servers of its name at port 80 for every protocol. Answers from there reach lan.
  Pod& add_server(const std::string& network, const std::string& id, std::vector<Json> chain);
  // On that bridge, in network "net-<letter>", with more plugins in the chain.
  Pod& add_server_on(const std::string& letter, const std::string& id,
                     const std::vector<Json>& more = {});
  // DEL in reverse order. It has to succeed and to say nothing. Its servers end.
  void del(Pod& pod);
  // The outcomes of one verb, plugin by plugin; stops after a failure unless the verb is DEL.
  std::vector<PluginOutcome> run(const std::string& verb, Pod& pod);
  // From now on, what plugins execute is written down.
  void trace_executions() { traced_ = true; }
  // The programs that plugins have been and have executed since the last call of this function,
  // sorted.
  std::vector<std::string> executed();

  // Runs an iptables program of that flavour on the host, given as words between blanks without
  // the name of the program ("-restore ..." means the one that reads rules from `input`), and
  // returns its stdout. It has to succeed.
  std::string iptables(Store flavour, const Family& family, const std::string& words,
                       const std::string& input = "") const;

  // Whether packets that bridges forward pass the rules of the IP families (br_netfilter). Nothing
  // is done where the kernel does not know it.
  void set_bridge_netfilter(bool on) const;

  // Of the host and of the state directories.
  Snapshot snapshot() const;

  // The value of PATH for plugins.
  std::string path() const { return programs_.path(); }

 private:
  std::string traced(const std::string& plugin);

  TempDirectory programs_;
  std::deque<Pod> pods_;
  bool traced_ = false;
  TempDirectory traces_;
};

// One element of portMappings.
Json mapping(std::uint16_t host_port, std::uint16_t container_port, Protocol protocol,
             const std::string& host_ip = "");

}  // namespace cni::test
