#include "port.h"

#include <string>

#include "attachment/mtu.h"

namespace cni::bridge {

Port connect(netlink::Socket& host, netlink::Socket& container, const Request& request,
             const Config& config, Undo& undo) {
  const attachment::Owner owner = attachment::Owner::of(request);
  const std::optional<std::uint32_t> mtu = attachment::resolve_mtu(host, config.mtu);
  // Before there is even a file to lock.
  if (const auto link = netlink::find_link(host, config.bridge)) require_bridge(*link);
  const state::FileLock lock = lock_bridge(config.bridge);
  const BridgeDevice bridge = ensure_bridge(host, config, mtu, undo);
  attachment::VethPair veth = attachment::add_veth_pair(host, container, *request.netns,
                                                        {.owner = owner,
                                                         .mtu = mtu,
                                                         .container_mac = config.container_mac,
                                                         .master = bridge.link.index},
                                                        undo);
  set_port_vlans(host, veth.host, config.vlans, config.preserve_default_vlan);
  netlink::change_link(host, veth.host,
                       {.alias = attachment::render_alias(owner, config.args),
                        .hairpin = config.hairpin,
                        .isolated = config.port_isolation});
  return {.bridge = bridge, .veth = std::move(veth)};
}

void set_port_vlans(netlink::Socket& host, const netlink::Link& port,
                    const std::vector<netlink::PortVlan>& vlans, bool preserve_default_vlan) {
  if (vlans.empty()) return;
  if (!preserve_default_vlan) {
    netlink::delete_port_vlans(host, port, netlink::port_vlans(host, port));
  }
  netlink::add_port_vlans(host, port, vlans);
}

}  // namespace cni::bridge
