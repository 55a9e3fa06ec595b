#include "gateway.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>

#include "attachment/forwarding.h"
#include "attachment/ipv6.h"
#include "base/deadline.h"
#include "base/digest.h"
#include "netlink/address.h"
#include "netlink/link_watch.h"
#include "protocol/error.h"

namespace cni::bridge {
namespace {

using inet::Family;
using inet::Network;

// Of the port of a VLAN's gateway device; the name of the device follows.
constexpr const char* kGatewayAlias = "gateway of ";

// The gateways with the prefix length of the address they serve, each once.
std::vector<Network> gateway_networks(const Result& result) {
  std::vector<Network> gateways;
  for (const IpConfig& ip : result.ips) {
    if (!ip.gateway || ip.gateway->family() != ip.address.family()) continue;
    const Network gateway{*ip.gateway, ip.address.prefix_length};
    if (std::ranges::find(gateways, gateway) == gateways.end()) gateways.push_back(gateway);
  }
  return gateways;
}

// IPv6 subnets live side by side on a link; of IPv4 there shall be ours only.
bool stands_in_the_way(const Network& present, const Network& gateway) {
  if (present.family() != gateway.family()) return false;
  return gateway.family() == Family::kIpv4 || present.overlaps(gateway);
}

bool has_address(netlink::Socket& host, const netlink::Link& link, const Network& wanted) {
  const auto present =
      netlink::addresses(host, {.link_index = link.index, .family = wanted.family()});
  return std::ranges::find(present, wanted, &netlink::InterfaceAddress::network) != present.end();
}

// An ADD that came at the same time may be about to put the address there.
bool appears_soon(netlink::Socket& host, const netlink::Link& link, const Network& gateway) {
  constexpr std::chrono::milliseconds kLimit{1000};
  netlink::LinkWatch watch = netlink::LinkWatch::here();
  return watch.wait_until([&] { return has_address(host, link, gateway); }, Deadline::in(kLimit));
}

// Whether a port of the bridge other than `own` is in use by a container, in `vlan` if it is not 0.
// Under the lock of the bridge this includes every container that counts on a gateway.
bool has_other_containers(netlink::Socket& host, const netlink::Link& bridge,
                          const netlink::Link& own, std::uint16_t vlan) {
  const auto ports = netlink::links(host, {.master = bridge.index});
  return std::ranges::any_of(ports, [&](const netlink::Link& port) {
    if (port.index == own.index || port.alias.starts_with(kGatewayAlias)) return false;
    return vlan == 0 || std::ranges::any_of(netlink::port_vlans(host, port), [&](const auto& one) {
             return one.id == vlan && one.pvid;
           });
  });
}

// Brings the addresses of `link` back to what they were before this ADD.
void restore_addresses(const Port& port, const std::string& bridge, const netlink::Link& link,
                       const std::vector<Network>& added, const std::vector<Network>& removed) {
  netlink::Socket host = netlink::Socket::here();
  const state::FileLock lock = lock_bridge(bridge);
  if (!netlink::find_link(host, link.index)) return;
  for (const Network& address : removed) netlink::ensure_address(host, link, address);
  if (has_other_containers(host, port.bridge.link, port.veth.host, 0)) return;
  for (const Network& address : added) netlink::delete_address_if_exists(host, link, address);
}

// Deletes the addresses of `link` that do not go with `gateway`, but none of `wanted`. Returns
// them.
std::vector<Network> make_way(netlink::Socket& host, const netlink::Link& link,
                              const BridgeDevice& bridge, const Config& config,
                              const std::vector<Network>& wanted, const Network& gateway) {
  std::vector<Network> removed;
  for (const netlink::InterfaceAddress& other :
       netlink::addresses(host, {.link_index = link.index, .family = gateway.family()})) {
    const bool keep = std::ranges::find(wanted, other.network) != wanted.end();
    if (keep || !stands_in_the_way(other.network, gateway)) continue;
    if (config.force_address || bridge.repairable) {
      netlink::delete_address_if_exists(host, link, other.network);
      removed.push_back(other.network);
      continue;
    }
    if (bridge.ours && appears_soon(host, link, gateway)) break;
    throw Error(
        Code::kInternal,
        fmt::format("failed to set bridge addr: \"{}\" already has an IP address different from {}",
                    link.name, gateway.text()),
        fmt::format("it has {0}; set \"forceAddress\": true, or run: ip address del {0} dev {1}",
                    other.network.text(), link.name));
  }
  return removed;
}

// The other end of the device, a port of the bridge.
std::string vlan_port_name(const std::string& device) {
  return "veth" + sha512_hex("gateway of " + device, 8);
}

}  // namespace

void complete_gateways(const Config& config, Result& result) {
  if (!config.is_gateway) return;
  for (IpConfig& ip : result.ips) {
    if (!ip.gateway) ip.gateway = ip.address.first().next();
  }
  if (!config.is_default_gateway) return;
  for (const Family family : {Family::kIpv4, Family::kIpv6}) {
    const Network anywhere = inet::default_network(family);
    const auto ip = std::ranges::find(result.ips, family,
                                      [](const IpConfig& each) { return each.address.family(); });
    const bool has_route = std::ranges::any_of(
        result.routes, [&](const Route& route) { return route.destination == anywhere; });
    if (ip == result.ips.end() || has_route) continue;
    result.routes.push_back({.destination = anywhere, .gateway = ip->gateway});
  }
}

netlink::Link ensure_gateway_link(netlink::Socket& host, const Port& port, const Config& config,
                                  Undo& undo) {
  const netlink::Link& bridge = port.bridge.link;
  if (config.access_vlan == 0) return bridge;
  const std::string name = vlan_device_name(config.bridge, config.access_vlan);
  if (const auto link = netlink::find_link(host, name)) return *link;

  const state::FileLock lock = lock_bridge(config.bridge);
  if (const auto link = netlink::find_link(host, name)) return *link;
  const std::string port_name = vlan_port_name(name);
  netlink::add_veth(host, {.host = {.name = port_name, .mtu = bridge.mtu, .master = bridge.index},
                           .container = {.name = name, .mtu = bridge.mtu}});
  undo.add("remove the gateway of the VLAN",
           [port, port_name, bridge_name = config.bridge, vlan = config.access_vlan] {
             netlink::Socket again = netlink::Socket::here();
             const state::FileLock undo_lock = lock_bridge(bridge_name);
             if (has_other_containers(again, port.bridge.link, port.veth.host, vlan)) return;
             netlink::delete_link_if_exists(again, port_name);
           });
  const netlink::Link gateway_port = netlink::get_link(host, port_name);
  set_port_vlans(host, gateway_port, {{.id = config.access_vlan, .pvid = true, .untagged = true}},
                 false);
  netlink::change_link(host, gateway_port, {.up = true, .alias = kGatewayAlias + name});
  // The containers of the VLAN can send some to it.
  attachment::refuse_router_advertisements(name);
  const netlink::Link device = netlink::get_link(host, name);
  netlink::change_link(host, device, {.up = true});
  return device;
}

void ensure_gateway_addresses(netlink::Socket& host, const netlink::Link& link, const Port& port,
                              const Config& config, const Result& result, Undo& undo) {
  const std::vector<Network> gateways = gateway_networks(result);
  netlink::LinkWatch watch = netlink::LinkWatch::here();
  for (const Network& gateway : gateways) {
    if (gateway.family() == Family::kIpv6) attachment::enable_ipv6(link.name);
    if (!has_address(host, link, gateway)) {
      const std::vector<Network> removed =
          make_way(host, link, port.bridge, config, gateways, gateway);
      // The address is ours to give: nobody has to wait until the kernel has looked for another.
      const bool is_new = netlink::ensure_address(host, link, gateway, {.no_dad = true});
      const std::vector<Network> added(is_new ? 1 : 0, gateway);
      undo.add("restore the addresses of the gateway",
               [port, bridge_name = config.bridge, link, added, removed] {
                 restore_addresses(port, bridge_name, link, added, removed);
               });
    }
    attachment::enable_forwarding(gateway.family());
  }
  attachment::wait_until_answering(host, link, gateways, watch);
}

}  // namespace cni::bridge
