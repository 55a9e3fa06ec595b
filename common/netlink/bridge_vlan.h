// The VLANs of a bridge port (bridge(8), vlan), for bridges that filter VLANs.
#pragma once

#include <compare>
#include <cstdint>
#include <vector>

#include "netlink/link.h"
#include "netlink/netlink_socket.h"

namespace cni::netlink {

struct PortVlan {
  // 1 to 4094.
  std::uint16_t id;
  // Untagged frames from the port belong to this VLAN. A port has one at most: a later one wins.
  bool pvid = false;
  // Frames of this VLAN leave the port without tag.
  bool untagged = false;

  friend auto operator<=>(const PortVlan&, const PortVlan&) = default;
};

// By ascending id; none if the kernel was built without VLAN filtering.
std::vector<PortVlan> port_vlans(Socket& socket, const Link& port);

// A VLAN that the port has takes over the new flags. Throws KernelError, EOPNOTSUPP if the kernel
// was built without VLAN filtering.
void add_port_vlans(Socket& socket, const Link& port, const std::vector<PortVlan>& vlans);

// A VLAN that the port does not have is passed over.
void delete_port_vlans(Socket& socket, const Link& port, const std::vector<PortVlan>& vlans);

}  // namespace cni::netlink
