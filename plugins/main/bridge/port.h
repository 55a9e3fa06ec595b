// The container's port on the bridge.
#pragma once

#include "attachment/veth_pair.h"
#include "base/undo.h"
#include "bridge_device.h"
#include "config.h"
#include "netlink/netlink_socket.h"
#include "protocol/request.h"

namespace cni::bridge {

struct Port {
  BridgeDevice bridge;
  attachment::VethPair veth;
};

// Makes the bridge if need be and the veth pair of this attachment with its host end as a port,
// which has its VLANs. Both ends are down. Undone as a whole.
Port connect(netlink::Socket& host, netlink::Socket& container, const Request& request,
             const Config& config, Undo& undo);

// Gives `port` these VLANs, beside or instead of the default one of the bridge. Without any, it
// stays as the kernel made it.
void set_port_vlans(netlink::Socket& host, const netlink::Link& port,
                    const std::vector<netlink::PortVlan>& vlans, bool preserve_default_vlan);

}  // namespace cni::bridge
