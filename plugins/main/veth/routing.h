// The routes between host and container. There is no network that both are in: each reaches the
// other as a single address beyond the pair.
#pragma once

#include <vector>

#include "attachment/veth_pair.h"
#include "inet/network.h"
#include "netlink/link.h"
#include "netlink/netlink_socket.h"
#include "netlink/route.h"
#include "protocol/result.h"

namespace cni::veth {

// Gives an address for which IPAM has named no gateway a link-local one: 169.254.1.1 or fe80::1. It
// is in nobody's way, whatever network the address is of. Throws Error 999 if a gateway is of the
// other family or the container's own address, or an address is there twice.
void complete_gateways(Result& result);

// What the host end of the pair has: each gateway once, as a single address.
std::vector<inet::Network> gateway_addresses(const Result& result);

// How the host reaches each address of the container: straight through `host_end`.
std::vector<netlink::Route> host_routes(const Result& result, const netlink::Link& host_end);

// How the container reaches its gateways, and through them the others in the networks of its
// addresses: in the order in which they can be added. Those that IPAM wants are not among them.
std::vector<netlink::Route> container_routes(const Result& result, const netlink::Link& link);

// Sets the host end up with its addresses and routes, and lets the host forward. All of that but
// the forwarding goes with the link. Throws Error 999 that names the link which has a route to an
// address of the container already.
void route_host(netlink::Socket& host, const attachment::VethPair& veth, const Result& result);

// Adds container_routes(). The addresses are there, without routes of their own.
void route_container(netlink::Socket& container, const attachment::VethPair& veth,
                     const Result& result);

// Tells host and container the MAC of each other, so that the first packet needs no question.
// Frames can pass: without a carrier the kernel forgets neighbours.
void introduce(netlink::Socket& host, netlink::Socket& container, const attachment::VethPair& veth,
               const Result& result);

}  // namespace cni::veth
