// Tells the neighbours of a container at once which MAC its addresses have now. An address that was
// another container's a moment ago is else unreachable until their old entries are found stale.
#pragma once

#include "inet/mac.h"
#include "netlink/link.h"
#include "netlink/netlink_socket.h"
#include "protocol/result.h"

namespace cni::attachment {

// Makes the kernel send, from every address of `link`, an ARP announcement (RFC 5227, section 3) or
// an unsolicited neighbour advertisement (RFC 4861, section 7.2.6). The link was set up with
// notify_neighbours (container_link.h), and frames can pass. Nobody answers, so a failure is logged
// and ignored.
void announce_addresses(netlink::Socket& container, const netlink::Link& link);

// Tells one end of the link what it would else ask for: that the address has this MAC. Where there
// is no room for a new neighbour that is all, since there is no old entry to correct either.
void confirm_neighbour(netlink::Socket& socket, const netlink::Link& link,
                       const inet::Address& address, const inet::Mac& mac);
// The same of the addresses of `result`, for the host.
void confirm_neighbours(netlink::Socket& host, const netlink::Link& link, const Result& result,
                        const inet::Mac& mac);

}  // namespace cni::attachment
