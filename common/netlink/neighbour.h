// Entries of the neighbour table: which MAC an address of the link has (ARP, NDP).
#pragma once

#include "inet/address.h"
#include "inet/mac.h"
#include "netlink/link.h"
#include "netlink/netlink_socket.h"

namespace cni::netlink {

// Makes or changes the entry and marks it as confirmed just now (NUD_REACHABLE), so that the first
// packet needs no ARP or NDP. It ages like one that was learned. Returns false, and changes
// nothing, if the entry is new and the kernel has too many (arp(7), gc_thresh3: 1,024 on all of a
// host, containers included, unless somebody raised it).
bool replace_neighbour_if_possible(Socket& socket, const Link& link, const inet::Address& address,
                                   const inet::Mac& mac);

// Returns whether it was there.
bool delete_neighbour_if_exists(Socket& socket, const Link& link, const inet::Address& address);

}  // namespace cni::netlink
