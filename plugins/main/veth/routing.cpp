#include "routing.h"

#include <fmt/format.h>

#include <algorithm>
#include <cerrno>

#include "attachment/announce.h"
#include "attachment/forwarding.h"
#include "attachment/ipv6.h"
#include "netlink/address.h"
#include "netlink/link_watch.h"
#include "protocol/error.h"

namespace cni::veth {
namespace {

using inet::Address;
using inet::Family;
using inet::Network;

Address link_local_gateway(Family family) {
  return *Address::parse(family == Family::kIpv4 ? "169.254.1.1" : "fe80::1");
}

template <typename Value>
void append_unless_there(std::vector<Value>& list, const Value& value) {
  if (std::ranges::find(list, value) == list.end()) list.push_back(value);
}

// What stands in the way of a route that was refused with EEXIST.
std::string describe_holder(netlink::Socket& host, const netlink::Route& wanted) {
  for (const netlink::Route& route :
       netlink::routes(host, {.family = wanted.destination.family()})) {
    if (route.destination != wanted.destination || !route.link_index) continue;
    const auto link = netlink::find_link(host, *route.link_index);
    if (!link) continue;
    return fmt::format("\"{}\"{}", link->name,
                       link->alias.empty() ? "" : fmt::format(" ({})", link->alias));
  }
  return "another route";
}

// The second container with an address would get none of the packets, or all of the first one's.
void add_host_route(netlink::Socket& host, const netlink::Route& route) {
  try {
    netlink::add_exclusive_route(host, route);
  } catch (const netlink::KernelError& error) {
    if (error.number() != EEXIST) throw;
    throw Error(Code::kInternal,
                fmt::format("address {} of the container is in use on this host: {} has a route to "
                            "it already",
                            route.destination.address.text(), describe_holder(host, route)),
                error.what());
  }
}

}  // namespace

void complete_gateways(Result& result) {
  for (IpConfig& ip : result.ips) {
    if (std::ranges::count(result.ips, ip.address.address,
                           [](const IpConfig& each) { return each.address.address; }) > 1) {
      throw Error(Code::kInternal,
                  fmt::format("IPAM gave the address {} twice", ip.address.address.text()));
    }
    const Family family = ip.address.family();
    if (!ip.gateway) ip.gateway = link_local_gateway(family);
    if (ip.gateway->family() != family || *ip.gateway == ip.address.address) {
      throw Error(Code::kInternal,
                  fmt::format("IPAM gave the address {} with the gateway {}, which is {}",
                              ip.address.text(), ip.gateway->text(),
                              ip.gateway->family() != family ? "of the other family"
                                                             : "the address itself"));
    }
  }
}

std::vector<Network> gateway_addresses(const Result& result) {
  std::vector<Network> addresses;
  for (const IpConfig& ip : result.ips) {
    if (ip.gateway) append_unless_there(addresses, Network::host(*ip.gateway));
  }
  return addresses;
}

std::vector<netlink::Route> host_routes(const Result& result, const netlink::Link& host_end) {
  std::vector<netlink::Route> routes;
  for (const IpConfig& ip : result.ips) {
    routes.push_back({.destination = Network::host(ip.address.address),
                      .link_index = host_end.index,
                      .scope = ip.address.family() == Family::kIpv4 ? netlink::kScopeHost
                                                                    : netlink::kScopeUniverse});
  }
  return routes;
}

std::vector<netlink::Route> container_routes(const Result& result, const netlink::Link& link) {
  std::vector<netlink::Route> routes;
  // The first address with a destination decides about gateway and source.
  const auto add = [&](const netlink::Route& route) {
    if (std::ranges::find(routes, route.destination, &netlink::Route::destination) ==
        routes.end()) {
      routes.push_back(route);
    }
  };
  for (const IpConfig& ip : result.ips) {
    if (!ip.gateway) continue;
    add({.destination = Network::host(*ip.gateway),
         .link_index = link.index,
         .scope =
             ip.address.family() == Family::kIpv4 ? netlink::kScopeLink : netlink::kScopeUniverse,
         .preferred_source = ip.address.address});
  }
  for (const IpConfig& ip : result.ips) {
    // Of a single address there are no others.
    if (!ip.gateway || ip.address.prefix_length == ip.address.address.width()) continue;
    add({.destination = ip.address.masked(),
         .gateway = ip.gateway,
         .link_index = link.index,
         .preferred_source = ip.address.address});
  }
  return routes;
}

void route_host(netlink::Socket& host, const attachment::VethPair& veth, const Result& result) {
  for (const IpConfig& ip : result.ips) {
    if (ip.address.family() == Family::kIpv6) attachment::enable_ipv6(veth.host.name);
    attachment::enable_forwarding(ip.address.family());
  }
  netlink::LinkWatch watch = netlink::LinkWatch::here();
  netlink::change_link(host, veth.host, {.up = true});
  const std::vector<Network> gateways = gateway_addresses(result);
  for (const Network& gateway : gateways) {
    netlink::add_address(host, veth.host, gateway, {.no_dad = true});
  }
  attachment::wait_until_answering(host, veth.host, gateways, watch);
  for (const netlink::Route& route : host_routes(result, veth.host)) add_host_route(host, route);
}

void route_container(netlink::Socket& container, const attachment::VethPair& veth,
                     const Result& result) {
  for (const netlink::Route& route : container_routes(result, veth.container)) {
    netlink::add_route(container, route);
  }
}

void introduce(netlink::Socket& host, netlink::Socket& container, const attachment::VethPair& veth,
               const Result& result) {
  attachment::confirm_neighbours(host, veth.host, result, *veth.container.mac);
  for (const Network& gateway : gateway_addresses(result)) {
    attachment::confirm_neighbour(container, veth.container, gateway.address, *veth.host.mac);
  }
}

}  // namespace cni::veth
