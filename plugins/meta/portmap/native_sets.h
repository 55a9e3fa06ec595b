// The sets and maps of the table `plumb_hostports`, see native_layout.h.
#pragma once

#include "inet/address.h"
#include "nftables/objects.h"

namespace cni::portmap {

nftables::TableId hostports_table(inet::Family family);

// What they go by: protocol and port; address, protocol and port; or stretches of these.
enum class Key { kPort, kAddressAndPort, kRange };

// All that can have elements for ports of attachments.
struct Sets {
  nftables::Set ip_gates, gates, range_gates, ip_ports, ports, ranges, sources_of;
  // Of those whose rules are elsewhere.
  nftables::Set chain_ip_ports, chain_ports, chain_ranges;
};
Sets sets_of(inet::Family family);

// Attachments whose elements do not tell all that others have to know of them: that they wait for
// ports.
nftables::Set unmapped_set(inet::Family family);

// Attachments that need route_localnet of an interface. There is one as long as somebody does.
nftables::Set localnet_set();

}  // namespace cni::portmap
