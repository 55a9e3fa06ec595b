#include "native_elements.h"

#include <algorithm>

#include "native_sets.h"
#include "native_shared_chains.h"
#include "netfilter/element_owner.h"

namespace cni::portmap {
namespace {

using inet::Family;
using nftables::Bytes;
using nftables::Element;
using nftables::Verdict;

// Asking for more is slower than reading all.
constexpr std::size_t kMostKeys = 1024;

Bytes port_key(const Run& run, std::uint16_t port) {
  return nftables::concatenation(
      {Bytes{static_cast<std::byte>(run.protocol)}, nftables::network_order(port)});
}

Bytes address_key(const inet::Address& address, const Run& run, std::uint16_t port) {
  return nftables::concatenation({nftables::bytes_of(address),
                                  Bytes{static_cast<std::byte>(run.protocol)},
                                  nftables::network_order(port)});
}

// From the first to the last address, and from the first to the last port.
Element range_of(Family family, const Run& run) {
  const inet::Network all = inet::default_network(family);
  return {.key = address_key(run.host_ip.value_or(all.first()), run, run.host_port),
          .key_end = address_key(run.host_ip.value_or(all.last()), run, run.last_port())};
}

// A stretch of ports can be one element if they stay as they are. One for a certain address is
// looked at after the single ports of any address, so it must not compete with these.
bool is_range(const Run& run, const std::vector<Run>& all) {
  if (run.count < 2 || !run.is_straight()) return false;
  return !run.host_ip || std::ranges::none_of(all, [&](const Run& other) {
    return !other.host_ip && collide(run, other);
  });
}

SetElements elements_for_localnet(const Holding& holding) {
  SetElements localnet{localnet_set(), {}};
  if (holding.localnet) {
    localnet.elements.push_back({.key = netfilter::attachment_key(holding.owner),
                                 .verdict = Verdict{.kind = Verdict::Kind::kJump,
                                                    .chain = localnet_chain(*holding.localnet)}});
  }
  return localnet;
}

}  // namespace

std::vector<Competition> competition(Family family, const std::vector<Run>& runs, Kept kept) {
  const Sets sets = sets_of(family);
  const bool here = kept == Kept::kHere;
  Competition ports{here ? sets.ports : sets.chain_ports, std::vector<Bytes>(), {}};
  Competition ip_ports{here ? sets.ip_ports : sets.chain_ip_ports, std::vector<Bytes>(), {}};
  Competition ranges{here ? sets.ranges : sets.chain_ranges, std::nullopt, {}};
  std::size_t count = 0;
  for (const Run& run : runs) {
    ranges.intervals.push_back(range_of(family, run));
    ports.intervals.push_back(
        {.key = port_key(run, run.host_port), .key_end = port_key(run, run.last_port())});
    count += run.count;
    if (count > kMostKeys) ports.keys.reset();
    if (count > kMostKeys || !run.host_ip) ip_ports.keys.reset();
    for (std::uint32_t port = run.host_port; port <= run.last_port(); ++port) {
      const auto number = static_cast<std::uint16_t>(port);
      if (ports.keys) ports.keys->push_back(port_key(run, number));
      if (ip_ports.keys) ip_ports.keys->push_back(address_key(*run.host_ip, run, number));
    }
  }
  ip_ports.intervals = ranges.intervals;
  return {ports, ip_ports, ranges};
}

std::vector<SetElements> elements_of(const Holding& holding) {
  const Family family = holding.family();
  const Sets sets = sets_of(family);
  SetElements ip_gates{sets.ip_gates, {}}, gates{sets.gates, {}}, range_gates{sets.range_gates, {}},
      ip_ports{sets.ip_ports, {}}, ports{sets.ports, {}}, ranges{sets.ranges, {}},
      sources_of{sets.sources_of, {}}, chain_ip_ports{sets.chain_ip_ports, {}},
      chain_ports{sets.chain_ports, {}}, chain_ranges{sets.chain_ranges, {}},
      unmapped{unmapped_set(family), {}};
  const bool native = holding.store == netfilter::StoreChoice::kNative;
  if (holding.ended || !holding.waiting.empty()) {
    unmapped.elements.push_back({.key = netfilter::attachment_key(holding.owner)});
  }
  const Bytes container = nftables::bytes_of(holding.address.address);

  for (const Run& run : holding.runs) {
    const auto gate = native && run.gate
                          ? std::optional(Verdict{.kind = Verdict::Kind::kJump,
                                                  .chain = gate_name(holding.gates[*run.gate])})
                          : std::nullopt;
    if (is_range(run, holding.runs)) {
      Element range = range_of(family, run);
      if (gate) {
        range_gates.elements.push_back(
            {.key = range.key, .key_end = range.key_end, .verdict = gate});
      }
      if (native) range.value = container;
      (native ? ranges : chain_ranges).elements.push_back(std::move(range));
      continue;
    }
    for (std::uint32_t offset = 0; offset < run.count; ++offset) {
      const auto port = static_cast<std::uint16_t>(run.host_port + offset);
      const Bytes key = run.host_ip ? address_key(*run.host_ip, run, port) : port_key(run, port);
      if (!native) {
        (run.host_ip ? chain_ip_ports : chain_ports).elements.push_back({.key = key});
        continue;
      }
      const Bytes value = nftables::concatenation(
          {container,
           nftables::network_order(static_cast<std::uint16_t>(run.container_port + offset))});
      (run.host_ip ? ip_ports : ports).elements.push_back({.key = key, .value = value});
      if (gate) (run.host_ip ? ip_gates : gates).elements.push_back({.key = key, .verdict = gate});
    }
  }
  if (native && holding.masquerade != Masquerade::kNone) {
    sources_of.elements.push_back(
        {.key = container,
         .verdict = Verdict{.kind = Verdict::Kind::kJump, .chain = masquerade_name(holding)}});
  }
  std::vector<SetElements> all = {ip_gates,    gates,        range_gates, ip_ports,
                                  ports,       ranges,       sources_of,  chain_ip_ports,
                                  chain_ports, chain_ranges, unmapped};
  if (family == Family::kIpv4) all.push_back(elements_for_localnet(holding));
  return all;
}

}  // namespace cni::portmap
