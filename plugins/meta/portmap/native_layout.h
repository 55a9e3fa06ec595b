// The table `plumb_hostports`, one for each family: what is in it as long as there is one. Nothing
// here, nor in the other files that describe it, talks to the kernel.
//
//   prerouting, output -- to an address of the host --> hostports
//     hostports    one after the other, each past the gate of the port if it has one:
//                    ip_ports   address . protocol . port of the host -> address . port
//                    ports                protocol . port             -> address . port
//                    ranges     stretches of ports, kept as they are  -> address
//     gate-...     shared by all with the same conditions and sources:
//                    accept (not meant) / drop (not let in) / return
//   postrouting -- came through hostports --> sources_of: the container's address
//     near-..., everybody   masquerade, shared by all containers of a network
// No rule looks into these:
//   chain_ip_ports, chain_ports, chain_ranges   the same of those whose rules are in another store
//   unmapped     who waits for ports, or has ended
//   localnet     attachment -> localnet-...: one chain, without a rule, for each interface whose
//                route_localnet attachments need. The kernel counts who refers to it, so that
//                nobody has to read what is written down about all of them.
//   guard        drops what comes from elsewhere and is sent to 127.0.0.0/8
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "inet/address.h"
#include "netfilter/native_table.h"
#include "nftables/objects.h"

namespace cni::portmap {

// `with_guard` as long as route_localnet is on somewhere because of us.
netfilter::Layout hostports_layout(inet::Family family, bool with_guard);
// For attachments whose rules are in another store.
netfilter::Layout chains_layout(inet::Family family, bool with_guard);

// A chain of the table, with these rules.
netfilter::ChainContent hostports_chain(inet::Family family, const std::string& name,
                                        std::vector<std::vector<nftables::Expression>> rules,
                                        std::optional<nftables::Hook> hook = std::nullopt);

}  // namespace cni::portmap
