// IPv6 on a link of the namespace this thread is in (netns::Scope). Kernels may lack it, and hosts
// may have switched it off.
#pragma once

#include <string>
#include <vector>

#include "inet/network.h"
#include "netlink/link.h"
#include "netlink/link_watch.h"
#include "netlink/netlink_socket.h"

namespace cni::attachment {

// Makes IPv6 addresses possible on `link`. Throws Error 999 that names the sysctl which stands in
// the way.
void enable_ipv6(const std::string& link);

// Whoever sends router advertisements (RFC 4861) into `link` changes neither addresses nor routes
// of this namespace. Call it before the link is up. Without IPv6 there is nothing to refuse.
void refuse_router_advertisements(const std::string& link);

// Waits until this namespace takes packets to each of `addresses` (those of IPv4 do not count) and
// answers for it: the kernel leaves both to a work queue, also where nobody looks for duplicates.
// `watch` is older than the addresses, which are on `link`, and `link` is up. Throws Error 999
// after 5 s.
void wait_until_answering(netlink::Socket& socket, const netlink::Link& link,
                          const std::vector<inet::Network>& addresses, netlink::LinkWatch& watch);

}  // namespace cni::attachment
