#include "native_sets.h"

namespace cni::portmap {

using inet::Family;
using nftables::address_length;
using nftables::address_type;
using nftables::Set;

namespace {

Set port_map(Family family, const char* name, Key key) {
  Set set{.table = hostports_table(family), .name = name, .key_length = 8};
  set.field_lengths = {1, 2};
  set.key_type = nftables::concatenated_type({nftables::kTypeProtocol, nftables::kTypePort});
  if (key != Key::kPort) {
    set.key_length += address_length(family);
    set.field_lengths.insert(set.field_lengths.begin(), address_length(family));
    set.key_type = nftables::concatenated_type(
        {address_type(family), nftables::kTypeProtocol, nftables::kTypePort});
  }
  set.interval = key == Key::kRange;
  return set;
}

Set to_address(Set set, Family family, bool with_port) {
  set.data = Set::Data::kValue;
  set.data_length = address_length(family) + (with_port ? 4 : 0);
  set.data_type = with_port
                      ? nftables::concatenated_type({address_type(family), nftables::kTypePort})
                      : address_type(family);
  return set;
}

Set to_chain(Set set) {
  set.data = Set::Data::kVerdict;
  return set;
}

}  // namespace

nftables::TableId hostports_table(Family family) {
  return {.family = nftables::table_family(family), .name = "plumb_hostports"};
}

Sets sets_of(Family family) {
  Set sources_of{.table = hostports_table(family),
                 .name = "sources_of",
                 .key_length = address_length(family),
                 .key_type = address_type(family)};
  return {.ip_gates = to_chain(port_map(family, "ip_gates", Key::kAddressAndPort)),
          .gates = to_chain(port_map(family, "gates", Key::kPort)),
          .range_gates = to_chain(port_map(family, "range_gates", Key::kRange)),
          .ip_ports = to_address(port_map(family, "ip_ports", Key::kAddressAndPort), family, true),
          .ports = to_address(port_map(family, "ports", Key::kPort), family, true),
          .ranges = to_address(port_map(family, "ranges", Key::kRange), family, false),
          .sources_of = to_chain(sources_of),
          .chain_ip_ports = port_map(family, "chain_ip_ports", Key::kAddressAndPort),
          .chain_ports = port_map(family, "chain_ports", Key::kPort),
          .chain_ranges = port_map(family, "chain_ranges", Key::kRange)};
}

Set unmapped_set(Family family) {
  return {.table = hostports_table(family),
          .name = "unmapped",
          .key_length = 16,
          .key_type = nftables::kTypeInterfaceName};
}

Set localnet_set() {
  return {.table = hostports_table(Family::kIpv4),
          .name = "localnet",
          .key_length = 16,
          .key_type = nftables::kTypeInterfaceName,
          .data = Set::Data::kVerdict};
}

}  // namespace cni::portmap
