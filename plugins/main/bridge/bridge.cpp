// bridge: joins a container to a bridge of the host by a veth pair.
//
// An attachment leaves on the host one veth, a port of the bridge, and with ipMasq an element or a
// rule for each address, with forwardAccept some more. The name of the veth is derived from
// container ID and interface, and its alias says whose it is, as rules and elements do, so DEL and
// GC need neither stored state nor the container's namespace. The bridge, its addresses and
// forwarding are shared and stay.

#include "attachment/announce.h"
#include "attachment/container_link.h"
#include "attachment/veth_pair.h"
#include "base/best_effort.h"
#include "bridge_device.h"
#include "check.h"
#include "config.h"
#include "delegation/ipam.h"
#include "forward_accept/forward_accept.h"
#include "gateway.h"
#include "masquerade/masquerade.h"
#include "netlink/neighbour.h"
#include "port.h"
#include "protocol/error.h"
#include "protocol/plugin.h"
#include "spoof_check.h"

namespace cni::bridge {
namespace {

using attachment::describe;
using delegation::Ipam;

// Where the interfaces stand in the result.
constexpr std::size_t kContainerInterface = 2;
// In errors.
constexpr const char* kPort = "bridge port";

// What IPAM says, and the host as its gateway.
Result assign(netlink::Socket& host, const Request& request, const Config& config, const Ipam& ipam,
              const Port& port, Undo& undo) {
  Result result = ipam.add(request, undo);
  for (IpConfig& ip : result.ips) ip.interface = kContainerInterface;
  complete_gateways(config, result);
  if (config.is_gateway) {
    const netlink::Link gateway = ensure_gateway_link(host, port, config, undo);
    ensure_gateway_addresses(host, gateway, port, config, result, undo);
    attachment::confirm_neighbours(host, gateway, result, *port.veth.container.mac);
  }
  return result;
}

std::vector<Interface> interfaces(netlink::Socket& host, const Request& request,
                                  const Config& config, const Port& port, bool has_addresses) {
  std::vector<Interface> all = {describe(netlink::get_link(host, port.bridge.link.index), request),
                                describe(port.veth.host, request),
                                describe(port.veth.container, request, request.environment.netns)};
  if (has_addresses && config.is_gateway && config.access_vlan != 0) {
    const std::string gateway = vlan_device_name(config.bridge, config.access_vlan);
    all.push_back(describe(netlink::get_link(host, gateway), request));
  }
  return all;
}

void accept_forwarded(const Request& request, const Config& config, const Result& result,
                      Undo& undo) {
  const auto addresses = masquerade::container_addresses(request, result);
  if (config.forward_accept) {
    forward_accept::add(request, addresses, undo);
  } else {
    forward_accept::warn_of_policy(addresses);
  }
}

// With key macspoofchk no frame passes before its rules are there.
void set_up_port(netlink::Socket& host, const Request& request, const Config& config,
                 const Port& port, Undo& undo) {
  if (config.mac_spoof_check) {
    ensure_spoof_check(attachment::Owner::of(request), port.veth.host.name,
                       *port.veth.container.mac, undo);
  }
  netlink::change_link(host, port.veth.host, {.up = true});
}

// Layer 3, with the addresses of `result`.
void set_up_container(netlink::Socket& host, netlink::Socket& container, const Request& request,
                      const Config& config, const Port& port, const Result& result) {
  const attachment::ContainerLinkSettings settings = {.detect_duplicates = config.detect_duplicates,
                                                      .notify_neighbours = true};
  attachment::set_up_container_link(*request.netns, container, port.veth.container, result,
                                    kContainerInterface, settings);
  attachment::add_container_routes(container, port.veth.container, result, settings);
  attachment::wait_until_forwarding(host, port.veth.host, kPort);
  attachment::announce_addresses(container, port.veth.container);
}

Result add(const Request& request, Undo& undo) {
  const Config config = parse_config(request);
  const std::optional<Ipam> ipam = Ipam::find(request);
  if (config.mac_spoof_check) require_room_for_spoof_check(request.attachment());
  netlink::Socket host = netlink::Socket::here();
  netlink::Socket container = netlink::Socket::in(*request.netns);

  const Port port = connect(host, container, request, config, undo);
  set_up_port(host, request, config, port, undo);
  Result result;
  if (ipam) result = assign(host, request, config, *ipam, port, undo);
  result.interfaces = interfaces(host, request, config, port, ipam.has_value());
  if (ipam) {
    // Before the first packet: what has left with the container's address stays with it.
    if (config.masquerade) masquerade::add(request, result, *config.masquerade, undo);
    accept_forwarded(request, config, result, undo);
    set_up_container(host, container, request, config, port, result);
  } else if (config.container_interface) {
    netlink::change_link(container, port.veth.container, {.up = true});
    attachment::wait_until_forwarding(host, port.veth.host, kPort);
  }
  if (config.dns) result.dns = *config.dns;
  return result;
}

void check(const Request& request) {
  const Config config = parse_config(request);
  const Result previous = request.conf.get_prev_result();
  if (const auto ipam = Ipam::find(request)) ipam->check(request);
  check_attachment(request, config, previous);
}

// The host forgets at which MAC the container's addresses were. They are known from the previous
// result; entries that are left age out.
void forget_neighbours(const Request& request) {
  const std::optional<Result> previous = request.conf.hint_prev_result();
  if (!previous) return;
  netlink::Socket host = netlink::Socket::here();
  for (const std::string& name : parse_gateway_links_for_cleanup(request)) {
    const auto link = netlink::find_link(host, name);
    if (!link) continue;
    for (const IpConfig& ip : previous->ips) {
      netlink::delete_neighbour_if_exists(host, *link, ip.address.address);
    }
  }
}

void del(const Request& request) {
  BestEffort cleanup;
  const auto remove = [&] {
    cleanup.run("remove masquerading", [&] { masquerade::remove(request); });
    cleanup.run("remove what accepts forwarded packets", [&] { forward_accept::remove(request); });
    cleanup.run("delete the veth pair", [&] { attachment::delete_veth_pair_if_exists(request); });
    // The configuration may have lost the key since.
    cleanup.run("delete the MAC check",
                [&] { delete_spoof_check_if_exists(request.attachment()); });
    cleanup.run("forget the neighbours", [&] { forget_neighbours(request); });
  };
  Ipam::release_after(remove, request, cleanup);
  cleanup.finish();
}

void status(const Request& request) {
  const Config config = parse_config(request);
  const std::optional<Ipam> ipam = Ipam::find(request);
  netlink::Socket host = netlink::Socket::here();
  auto obstacle = find_obstacle(host, config);
  if (!obstacle && config.mac_spoof_check) obstacle = find_spoof_check_obstacle();
  if (!obstacle && ipam && config.masquerade) {
    obstacle = masquerade::find_obstacle(*config.masquerade);
  }
  if (obstacle) throw Error(Code::kNotAvailable, *obstacle);
  if (ipam) forward_accept::warn_of_policies(config.forward_accept);
  if (ipam) ipam->status(request);
}

void gc(const Request& request) {
  const auto valid = [&] {
    return request.conf.find_valid_attachments().value_or(std::vector<Attachment>{});
  };
  BestEffort collection;
  collection.run("remove masquerading of no valid attachment",
                 [&] { masquerade::collect(request.conf.name(), valid()); });
  collection.run("remove what accepts forwarded packets of no valid attachment",
                 [&] { forward_accept::collect(request.conf.name(), valid()); });
  collection.run("delete the veth pairs of no valid attachment",
                 [&] { attachment::collect_veth_pairs(request); });
  collection.run("delete the MAC checks of no valid attachment",
                 [&] { collect_spoof_checks(request.conf.name(), valid()); });
  collection.run("collect addresses", [&] {
    if (const auto ipam = Ipam::find(request)) ipam->gc(request);
  });
  collection.finish();
}

}  // namespace
}  // namespace cni::bridge

int main() {
  using namespace cni;
  return run_plugin({.name = "bridge",
                     .makes_interface = true,
                     .add = bridge::add,
                     .check = bridge::check,
                     .del = bridge::del,
                     .status = bridge::status,
                     .gc = bridge::gc});
}
