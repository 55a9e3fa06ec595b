// Tells the neighbours of a container at once which MAC its addresses have now. An address that was
// another container's a moment ago is else unreachable until their old entries are found stale.
#pragma once

#include "inet/mac.h"
#include "netlink/link.h"
#include "netns/netns.h"
#include "protocol/result.h"

namespace cni::attachment {

// Sends from `link` in `netns`, for each address of `result`, an ARP announcement (RFC 5227,
// section 3) or an unsolicited neighbour advertisement (RFC 4861, section 7.2.6). Nobody answers,
// so a failure is logged and ignored.
void announce_addresses(const netns::Netns& netns, const netlink::Link& link, const inet::Mac& mac,
                        const Result& result);

}  // namespace cni::attachment
