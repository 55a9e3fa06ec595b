#include "check.h"

#include <fmt/format.h>

#include <algorithm>

#include "attachment/check_container_link.h"
#include "attachment/forwarding.h"
#include "forward_accept/forward_accept.h"
#include "masquerade/masquerade.h"
#include "netlink/address.h"
#include "netlink/bridge_vlan.h"
#include "netlink/link.h"
#include "netlink/netlink_socket.h"
#include "protocol/error.h"
#include "spoof_check.h"

namespace cni::bridge {
namespace {

using attachment::Differences;

std::optional<netlink::Link> check_bridge(netlink::Socket& host, const Config& config,
                                          const Result& previous, Differences& differences) {
  const Interface* expected = attachment::find_host_interface(previous, config.bridge);
  if (expected == nullptr) {
    differences.add(fmt::format("bridge \"{}\" is not in prevResult", config.bridge));
    return std::nullopt;
  }
  // The kernel lowers its MTU to that of the smallest port.
  Interface without_mtu = *expected;
  without_mtu.mtu.reset();
  auto bridge = attachment::check_link(host, without_mtu, "bridge", differences);
  if (bridge && config.promiscuous && !bridge->promiscuous) {
    differences.add(fmt::format("bridge \"{}\" is not in promiscuous mode", config.bridge));
  }
  return bridge;
}

void check_port_settings(netlink::Socket& host, const netlink::Link& port, const Config& config,
                         Differences& differences) {
  if (!port.port) return;
  const auto compare = [&](const char* what, bool is, bool should_be) {
    if (is == should_be) return;
    differences.add(fmt::format("{} of bridge port \"{}\" is {}, not {}", what, port.name,
                                is ? "on" : "off", should_be ? "on" : "off"));
  };
  compare("hairpin mode", port.port->hairpin, config.hairpin);
  compare("port isolation", port.port->isolated, config.port_isolation);
  if (config.vlans.empty()) return;
  const auto present = netlink::port_vlans(host, port);
  for (const netlink::PortVlan& vlan : config.vlans) {
    if (std::ranges::find(present, vlan) == present.end()) {
      differences.add(fmt::format("VLAN {}{} is missing on bridge port \"{}\"", vlan.id,
                                  vlan.pvid ? " (PVID, untagged)" : "", port.name));
    }
  }
}

// The host end is the peer of the container's end, a port of the bridge, and listed.
void check_port(netlink::Socket& host, const netlink::Link& container, const Request& request,
                const Config& config, const std::optional<netlink::Link>& bridge,
                const Result& previous, Differences& differences) {
  const auto port = attachment::check_host_end(
      host, container, previous,
      fmt::format("CNI veth created for bridge {} was not found", config.bridge), differences);
  if (!port) return;
  if (bridge && port->master != bridge->index) {
    differences.add(
        fmt::format("link \"{}\" is not a port of bridge \"{}\"", port->name, config.bridge));
    return;
  }
  if (port->up && port->oper_state != netlink::OperState::kUp && container.up) {
    differences.add(fmt::format("bridge port \"{}\" in error state: {}", port->name,
                                netlink::name(port->oper_state)));
  }
  check_port_settings(host, *port, config, differences);
  if (config.mac_spoof_check && container.mac) {
    check_spoof_check(request.attachment(), port->name, *container.mac, differences);
  }
}

void check_gateway(netlink::Socket& host, const Config& config, const Interface& expected,
                   const Result& previous, Differences& differences) {
  if (!config.is_gateway) return;
  const std::string name =
      config.access_vlan == 0 ? config.bridge : vlan_device_name(config.bridge, config.access_vlan);
  const auto link = netlink::find_link(host, name);
  if (!link) {
    if (name != config.bridge) differences.add(fmt::format("link \"{}\": Link not found", name));
    return;
  }
  const auto addresses = netlink::addresses(host, {.link_index = link->index});
  for (const IpConfig& ip : previous.ips) {
    if (!attachment::is_on_interface(ip, expected, previous)) continue;
    if (!ip.gateway || ip.gateway->family() != ip.address.family()) continue;
    const inet::Network gateway{*ip.gateway, ip.address.prefix_length};
    if (std::ranges::find(addresses, gateway, &netlink::InterfaceAddress::network) ==
        addresses.end()) {
      differences.add(fmt::format("gateway {} is not on \"{}\"", gateway.text(), name));
    }
    attachment::check_forwarding(gateway.family(), differences);
  }
}

}  // namespace

void check_attachment(const Request& request, const Config& config, const Result& previous) {
  const Interface& expected = attachment::get_container_interface(request, previous);
  netlink::Socket host = netlink::Socket::here();
  netlink::Socket container = netlink::Socket::in(*request.netns);
  Differences differences;
  const auto bridge = check_bridge(host, config, previous, differences);
  if (config.container_interface) {
    const auto link = attachment::check_link(container, expected, "veth", differences);
    if (link && link->kind == "veth") {
      check_port(host, *link, request, config, bridge, previous, differences);
      attachment::check_addresses_and_routes(container, *link, expected, previous, differences);
    }
  }
  check_gateway(host, config, expected, previous, differences);
  const bool with_ipam = !request.conf["ipam"]["type"].string_or("").empty();
  if (with_ipam && config.masquerade) {
    masquerade::check(request, previous, *config.masquerade, differences);
  }
  if (with_ipam && config.forward_accept) {
    forward_accept::check(request, masquerade::container_addresses(request, previous), differences);
  }
  differences.finish();
}

}  // namespace cni::bridge
