#include "xtables/dialect_comparison.h"

#include <linux/in.h>
#include <linux/netfilter/nf_tables.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>

#include "inet/mask.h"
#include "inet/network.h"
#include "nftables/encoding.h"
#include "nftables/expression.h"
#include "xtables/dialect_packet.h"

namespace cni::xtables {
namespace {

using netlink::Attributes;
using nftables::Bytes;
using nftables::find_be32;
using nftables::read_data;

bool all_zero(const Bytes& bytes) {
  return std::ranges::all_of(bytes, [](std::byte byte) { return byte == std::byte{0}; });
}

bool set_interface(std::optional<InterfaceMatch>& match, const Bytes& value, bool inverted) {
  if (match) return false;
  std::string name;
  for (const std::byte byte : value) {
    if (byte == std::byte{0}) {
      match = {.name = name, .inverted = inverted};
      return true;
    }
    name += static_cast<char>(byte);
  }
  match = {.name = name + "+", .inverted = inverted};
  return true;
}

bool set_protocol(Rule& rule, std::byte number) {
  if (rule.protocol != 0) return rule.protocol == std::to_integer<std::uint8_t>(number);
  rule.protocol = std::to_integer<std::uint8_t>(number);
  return true;
}

bool add_mark(Rule& rule, const Loaded& loaded, const Bytes& bytes) {
  const auto value = Attributes::read_value<std::uint32_t>(bytes);
  if (!value || !all_zero(loaded.flip)) return false;
  std::uint32_t mask = 0xffffffff;
  if (!loaded.mask.empty()) {
    const auto narrower = Attributes::read_value<std::uint32_t>(loaded.mask);
    if (!narrower) return false;
    mask = *narrower;
  }
  rule.matches.emplace_back(MarkMatch{.value = *value, .mask = mask});
  return true;
}

bool compare_meta(const Loaded& loaded, const Bytes& value, bool inverted, Rule& rule) {
  switch (loaded.key) {
    case NFT_META_IIFNAME:
      return loaded.mask.empty() && set_interface(rule.in, value, inverted);
    case NFT_META_OIFNAME:
      return loaded.mask.empty() && set_interface(rule.out, value, inverted);
    case NFT_META_L4PROTO:
      return loaded.mask.empty() && value.size() == 1 && !inverted && set_protocol(rule, value[0]);
    case NFT_META_MARK:
      return !inverted && add_mark(rule, loaded, value);
    default:
      return false;
  }
}

// Of the address or mask only the beginning may be compared.
inet::Address padded_address(inet::Family family, Bytes beginning) {
  beginning.resize(address_size(family));
  return inet::Address::from_bytes(family, beginning.data());
}

bool set_address(inet::Family family, std::optional<AddressMatch>& match, const Loaded& loaded,
                 const Bytes& value, bool inverted) {
  if (match || value.size() > address_size(family) || !all_zero(loaded.flip)) return false;
  if (!loaded.mask.empty() && loaded.mask.size() != value.size()) return false;
  const auto length = loaded.mask.empty()
                          ? static_cast<int>(value.size()) * 8
                          : inet::prefix_length_of(padded_address(family, loaded.mask));
  if (!length) return false;
  const inet::Network network{.address = padded_address(family, value), .prefix_length = *length};
  if (network.masked() != network) return false;
  match = {.network = network, .inverted = inverted};
  return true;
}

bool compare_network(inet::Family family, const Loaded& loaded, const Bytes& value, bool inverted,
                     Rule& rule) {
  if (loaded.offset == source_offset(family)) {
    return set_address(family, rule.source, loaded, value, inverted);
  }
  if (loaded.offset == destination_offset(family)) {
    return set_address(family, rule.destination, loaded, value, inverted);
  }
  return family == inet::Family::kIpv4 && loaded.offset == kIpv4Protocol && value.size() == 1 &&
         loaded.mask.empty() && !inverted && set_protocol(rule, value[0]);
}

bool set_port(const Rule& rule, std::optional<PortRange>& ports, std::uint16_t first,
              std::uint16_t last) {
  const bool has_ports =
      rule.protocol == IPPROTO_TCP || rule.protocol == IPPROTO_UDP || rule.protocol == IPPROTO_SCTP;
  if (ports || !has_ports) return false;
  ports = {.first = first, .last = last};
  return true;
}

bool set_ports(Rule& rule, std::uint32_t offset, std::uint16_t first, std::uint16_t last) {
  if (offset == kSourcePort) return set_port(rule, rule.source_ports, first, last);
  return offset == kDestinationPort && set_port(rule, rule.destination_ports, first, last);
}

bool compare_transport(const Loaded& loaded, const Bytes& value, Rule& rule) {
  if (loaded.offset == kSourcePort && value.size() == 2 * kPortSize) {
    return set_port(rule, rule.source_ports, read_port(value), read_port(value)) &&
           set_port(rule, rule.destination_ports, read_port(value, kPortSize),
                    read_port(value, kPortSize));
  }
  if (value.size() != kPortSize) return false;
  return set_ports(rule, loaded.offset, read_port(value), read_port(value));
}

}  // namespace

bool decode_comparison(inet::Family family, const Attributes& attributes,
                       const Registers& registers, Rule& rule) {
  const auto operation = find_be32(attributes, NFTA_CMP_OP);
  const Bytes value = read_data(attributes, NFTA_CMP_DATA);
  const Loaded* loaded = registers.find(attributes, NFTA_CMP_SREG);
  if (loaded == nullptr || value.empty()) return false;
  if (operation != NFT_CMP_EQ && operation != NFT_CMP_NEQ) return false;
  const bool inverted = operation == NFT_CMP_NEQ;
  if (loaded->from == Loaded::From::kMeta) return compare_meta(*loaded, value, inverted, rule);
  if (loaded->from != Loaded::From::kPayload || loaded->length != value.size()) return false;
  if (loaded->key == NFT_PAYLOAD_NETWORK_HEADER)
    return compare_network(family, *loaded, value, inverted, rule);
  return loaded->key == NFT_PAYLOAD_TRANSPORT_HEADER && !inverted && loaded->mask.empty() &&
         compare_transport(*loaded, value, rule);
}

bool decode_range(const Attributes& attributes, const Registers& registers, Rule& rule) {
  const Loaded* loaded = registers.find(attributes, NFTA_RANGE_SREG);
  if (loaded == nullptr || loaded->from != Loaded::From::kPayload) return false;
  if (find_be32(attributes, NFTA_RANGE_OP) != NFT_RANGE_EQ) return false;
  const Bytes first = read_data(attributes, NFTA_RANGE_FROM_DATA);
  const Bytes last = read_data(attributes, NFTA_RANGE_TO_DATA);
  if (loaded->key != NFT_PAYLOAD_TRANSPORT_HEADER || loaded->length != kPortSize ||
      !loaded->mask.empty() || first.size() != kPortSize || last.size() != kPortSize) {
    return false;
  }
  return set_ports(rule, loaded->offset, read_port(first), read_port(last));
}

}  // namespace cni::xtables
