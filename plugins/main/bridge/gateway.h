// The host as the containers' gateway.
#pragma once

#include "base/undo.h"
#include "config.h"
#include "netlink/link.h"
#include "netlink/netlink_socket.h"
#include "port.h"
#include "protocol/result.h"

namespace cni::bridge {

// Fills in what `isGateway` and `isDefaultGateway` promise and IPAM left open: the first address of
// the network as gateway, and one default route per family.
void complete_gateways(const Config& config, Result& result);

// The link that has the gateway addresses: the bridge, or the device of the access VLAN, which is
// made if need be. If it was made now it is removed by `undo`, unless another container came into
// the VLAN.
netlink::Link ensure_gateway_link(netlink::Socket& host, const Port& port, const Config& config,
                                  Undo& undo);

// Puts the gateways of `result` on `link` and turns forwarding on for their families. Other
// addresses of the link that stand in the way are replaced if the configuration says so or the
// bridge is repairable; else Error 999 names both. `undo` brings back what was replaced, and takes
// back what was added unless another container may use it by then; forwarding stays on.
void ensure_gateway_addresses(netlink::Socket& host, const netlink::Link& link, const Port& port,
                              const Config& config, const Result& result, Undo& undo);

}  // namespace cni::bridge
