// Puts the outcome of IPAM onto the container's link.
#pragma once

#include <cstddef>
#include <string>

#include "netlink/link.h"
#include "netlink/netlink_socket.h"
#include "netns/netns.h"
#include "protocol/result.h"

namespace cni::attachment {

struct ContainerLinkSettings {
  // Let IPv6 look for duplicates (RFC 4862) and wait for the outcome, up to 5 s. Otherwise the
  // addresses, which are ours to give, can be used at once.
  bool detect_duplicates = false;
  // Let the kernel announce the addresses when the link comes up or changes its MAC
  // (arp_notify and ndisc_notify, ip-sysctl).
  bool notify_neighbours = false;
  // The addresses come without the routes to their networks, which lead somewhere else than
  // straight out of the link.
  bool no_prefix_routes = false;
};

// Sets the sysctls, adds the addresses of `result` that are on interface number `interface` and
// sets the link up. Throws an error that names the address, or the sysctl by which IPv6 is off.
void set_up_container_link(const netns::Netns& netns, netlink::Socket& container,
                           const netlink::Link& link, const Result& result, std::size_t interface,
                           const ContainerLinkSettings& settings);

// Adds the routes of `result`; host bits of a destination do not count. One without gateway goes
// through the first gateway of its family in `result.ips`, if there is one and the scope of the
// route allows it, else straight out of the link. With `no_prefix_routes` a gateway in the network
// of an address is still a neighbour, as the reference suite has it. Throws
// `failed to add route '...'`.
void add_container_routes(netlink::Socket& container, const netlink::Link& link,
                          const Result& result, const ContainerLinkSettings& settings);

}  // namespace cni::attachment
