// The table `plumb_hostports`, one for each family: its chains, sets and maps, and which elements
// an attachment has in them. Nothing here talks to the kernel.
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

#include "holding.h"
#include "netfilter/native_table.h"
#include "nftables/objects.h"

namespace cni::portmap {

nftables::TableId hostports_table(inet::Family family);

// `with_guard` as long as route_localnet is on somewhere because of us.
netfilter::Layout hostports_layout(inet::Family family, bool with_guard);
// For attachments whose rules are in another store.
netfilter::Layout chains_layout(inet::Family family, bool with_guard);

// A chain that several attachments may use, for equal settings.
struct SharedChain {
  netfilter::ChainContent content;
  struct Filled {
    nftables::Set set;
    std::vector<nftables::Element> elements;
  };
  std::vector<Filled> sets = {};  // only its rules use them

  const std::string& name() const { return content.chain.name; }
};
std::vector<SharedChain> shared_chains(const Holding& holding);

// Attachments whose elements do not tell all that others have to know of them: that they wait for
// ports.
nftables::Set unmapped_set(inet::Family family);

// Attachments that need route_localnet of an interface. There is one as long as somebody does.
nftables::Set localnet_set();
std::string localnet_chain(const Localnet& localnet);

// The elements of one set by which somebody has a port of `runs`.
struct Competition {
  nftables::Set set;
  // What to ask for; nothing if it is better to read all there are.
  std::optional<std::vector<nftables::Bytes>> keys;
  // Elements of an interval set, one of which an element of the set must meet.
  std::vector<nftables::Element> intervals;
};
enum class Kept { kHere, kInChains };
std::vector<Competition> competition(inet::Family family, const std::vector<Run>& runs, Kept kept);

// Elements of one attachment, without the mark of the owner.
struct SetElements {
  nftables::Set set;
  std::vector<nftables::Element> elements;
};
// One entry for each set of the table that can have elements of attachments, in a fixed order.
std::vector<SetElements> elements_of(const Holding& holding);

}  // namespace cni::portmap
