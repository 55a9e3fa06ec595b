// veth, also called as ptp: joins a container to the host by a veth pair and routes, without a
// bridge.
//
// An attachment leaves on the host one veth and what goes with it: the gateway addresses and a
// route to each address of the container. The veth's name is derived from container ID and
// interface, and its alias says whose it is; so do the rules of ipMasq and
// forwardAccept. DEL and GC need neither stored state nor the container's namespace. Forwarding is
// shared and stays on.

#include "attachment/container_link.h"
#include "attachment/veth_pair.h"
#include "base/best_effort.h"
#include "check.h"
#include "config.h"
#include "delegation/ipam.h"
#include "forward_accept/forward_accept.h"
#include "masquerade/masquerade.h"
#include "protocol/error.h"
#include "protocol/plugin.h"
#include "routing.h"

namespace cni::veth {
namespace {

using attachment::VethPair;
using delegation::Ipam;

// Where the interfaces stand in the result.
constexpr std::size_t kContainerInterface = 1;

// Before IPAM is asked: an ADD that comes twice fails here, and must not release what the first one
// has.
VethPair connect(netlink::Socket& host, netlink::Socket& container, const Request& request,
                 const Config& config, Undo& undo) {
  const attachment::Owner owner = attachment::Owner::of(request);
  VethPair veth = attachment::add_veth_pair(
      host, container, *request.netns,
      {.owner = owner, .mtu = attachment::resolve_mtu(host, config.mtu)}, undo);
  netlink::change_link(host, veth.host, {.alias = attachment::render_alias(owner, config.args)});
  return veth;
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

Result add(const Request& request, Undo& undo) {
  const Config config = parse_config(request);
  const Ipam ipam = Ipam::get(request);
  netlink::Socket host = netlink::Socket::here();
  netlink::Socket container = netlink::Socket::in(*request.netns);

  const VethPair veth = connect(host, container, request, config, undo);
  Result result = ipam.add(request, undo);
  for (IpConfig& ip : result.ips) ip.interface = kContainerInterface;
  complete_gateways(result);
  result.interfaces = {attachment::describe(veth.host, request),
                       attachment::describe(veth.container, request, request.environment.netns)};
  // Before the first packet: what has left with the container's address stays with it.
  if (config.masquerade) masquerade::add(request, result, *config.masquerade, undo);
  accept_forwarded(request, config, result, undo);
  route_host(host, veth, result);
  const attachment::ContainerLinkSettings settings = {.no_prefix_routes = true};
  attachment::set_up_container_link(*request.netns, container, veth.container, result,
                                    kContainerInterface, settings);
  route_container(container, veth, result);
  attachment::add_container_routes(container, veth.container, result, settings);
  attachment::wait_until_forwarding(host, veth.host, "host end of the veth pair");
  introduce(host, container, veth, result);
  if (config.dns) result.dns = *config.dns;
  return result;
}

void check(const Request& request) {
  const Config config = parse_config(request);
  const Result previous = request.conf.get_prev_result();
  Ipam::get(request).check(request);
  check_attachment(request, config, previous);
}

void del(const Request& request) {
  BestEffort cleanup;
  const auto remove = [&] {
    cleanup.run("remove masquerading", [&] { masquerade::remove(request); });
    cleanup.run("remove what accepts forwarded packets", [&] { forward_accept::remove(request); });
    cleanup.run("delete the veth pair", [&] { attachment::delete_veth_pair_if_exists(request); });
  };
  Ipam::release_after(remove, request, cleanup);
  cleanup.finish();
}

void status(const Request& request) {
  const Config config = parse_config(request);
  const Ipam ipam = Ipam::get(request);
  netlink::Socket host = netlink::Socket::here();
  auto obstacle = attachment::find_mtu_obstacle(host, config.mtu);
  if (!obstacle) obstacle = attachment::find_missing_kind(host, {"veth"});
  if (!obstacle && config.masquerade) obstacle = masquerade::find_obstacle(*config.masquerade);
  if (obstacle) throw Error(Code::kNotAvailable, *obstacle);
  forward_accept::warn_of_policies(config.forward_accept);
  ipam.status(request);
}

void gc(const Request& request) {
  BestEffort collection;
  collection.run("delete the veth pairs of no valid attachment",
                 [&] { attachment::collect_veth_pairs(request); });
  const auto valid = [&] {
    return request.conf.find_valid_attachments().value_or(std::vector<Attachment>{});
  };
  collection.run("remove masquerading for no valid attachment",
                 [&] { masquerade::collect(request.conf.name(), valid()); });
  collection.run("remove what accepts forwarded packets of no valid attachment",
                 [&] { forward_accept::collect(request.conf.name(), valid()); });
  collection.run("collect addresses", [&] {
    if (const auto ipam = Ipam::find(request)) ipam->gc(request);
  });
  collection.finish();
}

}  // namespace
}  // namespace cni::veth

int main() {
  using namespace cni;
  return run_plugin({.name = "veth",
                     .makes_interface = true,
                     .add = veth::add,
                     .check = veth::check,
                     .del = veth::del,
                     .status = veth::status,
                     .gc = veth::gc});
}
