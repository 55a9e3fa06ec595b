// Links: what other texts call network interfaces.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "inet/mac.h"
#include "netlink/netlink_socket.h"
#include "netns/netns.h"

namespace cni::netlink {

// RFC 2863 ifOperStatus, with the numbers of linux/if.h (IF_OPER_*).
enum class OperState : std::uint8_t {
  kUnknown = 0,
  kNotPresent = 1,
  kDown = 2,
  kLowerLayerDown = 3,
  kTesting = 4,
  kDormant = 5,
  kUp = 6,
};

// "up", "lower layer down" and so on.
std::string name(OperState state);

// What a bridge knows of one of its ports.
struct BridgePort {
  // Takes part in the bridge (any state of linux/if_bridge.h but BR_STATE_DISABLED), which comes a
  // moment after the link is operational.
  bool enabled = false;
  bool hairpin = false;
  bool isolated = false;
};

struct Link {
  int index = 0;
  std::string name;
  // "veth", "bridge" and so on; empty for physical links and "lo".
  std::string kind;
  std::optional<inet::Mac> mac;
  // What was asked for (IFF_UP); oper_state says what came of it.
  bool up = false;
  // Whether there is something at the other end (IFLA_CARRIER). oper_state follows it a moment
  // later, and only then does the link send.
  bool carrier = false;
  // What was asked for (IFF_PROMISC); packet captures do not show here.
  bool promiscuous = false;
  OperState oper_state = OperState::kUnknown;
  std::uint32_t mtu = 0;
  std::optional<int> master;
  std::string alias;
  // The other end of a veth, or the link below a macvlan or vlan.
  std::optional<int> peer_index;
  // Set if peer_index counts in another namespace: that namespace as this one numbers it.
  std::optional<int> link_netnsid;
  // Of a bridge. Nothing if the kernel was built without VLAN filtering.
  std::optional<bool> vlan_filtering;
  // Of a port of a bridge.
  std::optional<BridgePort> port;
};

// By name the kernel finds a link by its alternative names too (ip-link(8), altname).
std::optional<Link> find_link(Socket& socket, const std::string& name);
std::optional<Link> find_link(Socket& socket, int index);

// Throws KernelError (ENODEV) `link "<name>": Link not found`.
Link get_link(Socket& socket, const std::string& name);
Link get_link(Socket& socket, int index);

// How the namespace of `socket` numbers `netns`, as in link_netnsid; nothing if it has no number.
std::optional<int> find_netnsid(Socket& socket, const netns::Netns& netns);

struct LinkFilter {
  std::string kind = {};  // any if empty
  std::optional<int> master = std::nullopt;
};

// By ascending index.
std::vector<Link> links(Socket& socket, const LinkFilter& filter = {});

// Whether the kernel can make links of this kind; loads its module if there is one. Makes no link.
// Throws KernelError.
bool is_kind_supported(Socket& socket, const std::string& kind);

struct BridgeSpec {
  std::string name;
  std::optional<std::uint32_t> mtu = std::nullopt;
  // Without one the bridge takes the lowest MAC of its ports, which changes as they come and go.
  std::optional<inet::Mac> mac = std::nullopt;
  // A kernel without VLAN filtering ignores this: look at Link::vlan_filtering afterwards.
  bool vlan_filtering = false;
};

// Makes a bridge, which is down. Throws KernelError, EEXIST if the name is taken.
void add_bridge(Socket& socket, const BridgeSpec& spec);

// The kernel chooses what is not given.
struct VethSpec {
  struct HostEnd {
    std::string name;
    std::optional<std::uint32_t> mtu = std::nullopt;
    std::optional<inet::Mac> mac = std::nullopt;
    // Index of the bridge whose port this end becomes.
    std::optional<int> master = std::nullopt;
  };
  struct ContainerEnd {
    std::string name;
    std::optional<std::uint32_t> mtu = std::nullopt;
    std::optional<inet::Mac> mac = std::nullopt;
    // The socket's own namespace if null.
    const netns::Netns* netns = nullptr;
  };
  HostEnd host;
  ContainerEnd container;
};

// Makes both ends, each in its namespace, or none. Both are down. Afterwards the peer_index of
// the host end is the index of the container end. Throws KernelError; EEXIST does not say which of
// the two names is taken.
void add_veth(Socket& socket, const VethSpec& spec);

// What is set is changed.
struct LinkChange {
  std::optional<bool> up = std::nullopt;
  std::optional<std::string> name = std::nullopt;
  std::optional<std::string> alias = std::nullopt;  // "" removes it
  std::optional<int> master = std::nullopt;         // 0: none
  std::optional<inet::Mac> mac = std::nullopt;
  std::optional<std::uint32_t> mtu = std::nullopt;
  std::optional<bool> promiscuous = std::nullopt;
  // Of a port of a bridge.
  std::optional<bool> hairpin = std::nullopt;
  std::optional<bool> isolated = std::nullopt;
  // Of a bridge. A kernel without VLAN filtering ignores it.
  std::optional<bool> vlan_filtering = std::nullopt;
};

// In one message, or in two if the link gets a master and port settings at once. `link` says
// which link by its index and lends its name to the error message: `set link "eth0" up: ...`.
void change_link(Socket& socket, const Link& link, const LinkChange& change);

// Returns whether it was there. The other end of a veth goes with it.
bool delete_link_if_exists(Socket& socket, int index);
bool delete_link_if_exists(Socket& socket, const std::string& name);

}  // namespace cni::netlink
