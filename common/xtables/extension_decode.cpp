#include <endian.h>
#include <linux/in.h>
#include <linux/netfilter/nf_nat.h>
#include <linux/netfilter/xt_addrtype.h>
#include <linux/netfilter/xt_comment.h>
#include <linux/netfilter/xt_conntrack.h>
#include <linux/netfilter/xt_mark.h>
#include <linux/netfilter/xt_multiport.h>
#include <linux/netfilter/xt_tcpudp.h>
#include <linux/rtnetlink.h>

#include <cstring>
#include <optional>
#include <type_traits>
#include <utility>

#include "xtables/extension.h"
#include "xtables/sctp_info.h"

namespace cni::xtables {
namespace {

template <typename Info>
std::optional<Info> read(std::span<const std::byte> bytes) {
  static_assert(std::is_trivially_copyable_v<Info>);
  Info info;
  if (bytes.size() < sizeof info) return std::nullopt;
  std::memcpy(&info, bytes.data(), sizeof info);
  return info;
}

// --- ports

std::optional<PortRange> unless_all(const PortRange& range) {
  return range == kAllPorts ? std::nullopt : std::optional(range);
}

bool set_ports(Rule& rule, std::optional<PortRange> source, std::optional<PortRange> destination) {
  // Two matches of ports in one rule are beyond the model.
  if (rule.source_ports && source) return false;
  if (rule.destination_ports && destination) return false;
  if (source) rule.source_ports = source;
  if (destination) rule.destination_ports = destination;
  return true;
}

template <typename Info>
bool decode_tcp_or_udp(const Info& info, Rule& rule) {
  return set_ports(rule, unless_all({info.spts[0], info.spts[1]}),
                   unless_all({info.dpts[0], info.dpts[1]}));
}

bool decode_tcp(std::span<const std::byte> bytes, Rule& rule) {
  const auto info = read<xt_tcp>(bytes);
  if (!info || info->option != 0 || info->flg_mask != 0 || info->flg_cmp != 0) return false;
  return info->invflags == 0 && decode_tcp_or_udp(*info, rule);
}

bool decode_udp(std::span<const std::byte> bytes, Rule& rule) {
  const auto info = read<xt_udp>(bytes);
  return info && info->invflags == 0 && decode_tcp_or_udp(*info, rule);
}

bool decode_sctp(std::span<const std::byte> bytes, Rule& rule) {
  const auto info = read<SctpInfo>(bytes);
  if (!info || (info->flags & ~(kSctpSourcePorts | kSctpDestinationPorts)) != 0) return false;
  if ((info->inverted_flags & info->flags) != 0) return false;
  std::optional<PortRange> source;
  std::optional<PortRange> destination;
  if ((info->flags & kSctpSourcePorts) != 0) {
    source = unless_all({info->source[0], info->source[1]});
  }
  if ((info->flags & kSctpDestinationPorts) != 0) {
    destination = unless_all({info->destination[0], info->destination[1]});
  }
  return set_ports(rule, source, destination);
}

bool decode_ports(std::string_view name, std::uint32_t revision, std::span<const std::byte> info,
                  Rule& rule) {
  if (revision != 0) return false;
  if (name == "tcp" && rule.protocol == IPPROTO_TCP) return decode_tcp(info, rule);
  if (name == "udp" && rule.protocol == IPPROTO_UDP) return decode_udp(info, rule);
  if (name == "sctp" && rule.protocol == IPPROTO_SCTP) return decode_sctp(info, rule);
  return false;
}

// --- matches

std::optional<Match> decode_comment(std::span<const std::byte> bytes) {
  const auto info = read<xt_comment_info>(bytes);
  if (!info) return std::nullopt;
  return Comment{std::string(info->comment, ::strnlen(info->comment, sizeof info->comment))};
}

std::optional<Match> decode_addrtype(std::uint32_t revision, std::span<const std::byte> bytes) {
  constexpr std::uint16_t kLocal = 1 << RTN_LOCAL;
  if (revision == 0) {
    const auto info = read<xt_addrtype_info>(bytes);
    if (!info || info->source != 0 || info->dest != kLocal || info->invert_dest != 0) {
      return std::nullopt;
    }
    return ToLocalAddress{};
  }
  const auto info = read<xt_addrtype_info_v1>(bytes);
  if (!info || info->source != 0 || info->dest != kLocal || info->flags != 0) return std::nullopt;
  return ToLocalAddress{};
}

std::optional<Match> decode_multiport(std::span<const std::byte> bytes) {
  const auto info = read<xt_multiport_v1>(bytes);
  if (!info || info->flags != XT_MULTIPORT_DESTINATION || info->invert != 0) return std::nullopt;
  if (info->count > XT_MULTI_PORTS) return std::nullopt;
  DestinationPorts match;
  for (std::size_t i = 0; i < info->count; ++i) {
    if (info->pflags[i] != 0) return std::nullopt;  // the first port of a range
    match.ports.push_back(info->ports[i]);
  }
  return match;
}

std::optional<Match> decode_mark(std::span<const std::byte> bytes) {
  const auto info = read<xt_mark_mtinfo1>(bytes);
  if (!info || info->invert != 0) return std::nullopt;
  return MarkMatch{.value = info->mark, .mask = info->mask};
}

template <typename Info>
std::optional<Match> decode_conntrack_info(std::span<const std::byte> bytes) {
  const auto info = read<Info>(bytes);
  if (!info) return std::nullopt;
  // The alias only says that iptables shall print it as -m state.
  if ((info->match_flags & ~XT_CONNTRACK_STATE_ALIAS) != XT_CONNTRACK_STATE) return std::nullopt;
  if ((info->invert_flags & XT_CONNTRACK_STATE) != 0) return std::nullopt;
  return ConntrackState{static_cast<std::uint16_t>(info->state_mask)};
}

std::optional<Match> decode_conntrack(std::uint32_t revision, std::span<const std::byte> bytes) {
  switch (revision) {
    case 1:
      return decode_conntrack_info<xt_conntrack_mtinfo1>(bytes);
    case 2:
      return decode_conntrack_info<xt_conntrack_mtinfo2>(bytes);
    case 3:
      return decode_conntrack_info<xt_conntrack_mtinfo3>(bytes);
    default:
      return std::nullopt;
  }
}

std::optional<Match> decode_other_match(std::string_view name, std::uint32_t revision,
                                        std::span<const std::byte> info) {
  if (name == "comment" && revision == 0) return decode_comment(info);
  if (name == "addrtype" && revision <= 1) return decode_addrtype(revision, info);
  if (name == "multiport" && revision == 1) return decode_multiport(info);
  if (name == "mark" && revision == 1) return decode_mark(info);
  if (name == "conntrack") return decode_conntrack(revision, info);
  return std::nullopt;
}

// --- targets

// What every revision of the structs says.
struct NatRange {
  std::uint32_t flags;
  inet::Address first;
  inet::Address last;
  std::uint16_t first_port;
  std::uint16_t last_port;
};

std::optional<NatRange> read_single_range(std::span<const std::byte> bytes) {
  const auto info = read<nf_nat_ipv4_multi_range_compat>(bytes);
  if (!info || info->rangesize != 1) return std::nullopt;
  const nf_nat_ipv4_range& range = info->range[0];
  return NatRange{.flags = range.flags,
                  .first = inet::Address::from_bytes(inet::Family::kIpv4, &range.min_ip),
                  .last = inet::Address::from_bytes(inet::Family::kIpv4, &range.max_ip),
                  .first_port = be16toh(range.min.all),
                  .last_port = be16toh(range.max.all)};
}

// The beginning of nf_nat_range2 is nf_nat_range; its base port counts with a flag only.
std::optional<NatRange> read_range(inet::Family family, std::span<const std::byte> bytes) {
  const auto info = read<nf_nat_range>(bytes);
  if (!info) return std::nullopt;
  return NatRange{.flags = info->flags,
                  .first = inet::Address::from_bytes(family, &info->min_addr),
                  .last = inet::Address::from_bytes(family, &info->max_addr),
                  .first_port = be16toh(info->min_proto.all),
                  .last_port = be16toh(info->max_proto.all)};
}

std::optional<NatRange> read_range(inet::Family family, std::string_view name,
                                   std::uint32_t revision, std::span<const std::byte> bytes) {
  const bool ipv4 = family == inet::Family::kIpv4;
  if (revision == 0 && ipv4) return read_single_range(bytes);
  if (name == "MASQUERADE") {
    return revision == 0 ? read_range(family, bytes) : std::nullopt;
  }
  return revision == 1 || revision == 2 ? read_range(family, bytes) : std::nullopt;
}

std::optional<Target> decode_dnat(const NatRange& range) {
  if (range.first != range.last) return std::nullopt;
  if (range.flags == NF_NAT_RANGE_MAP_IPS) return DestinationNat{range.first, 0};
  if (range.flags != (NF_NAT_RANGE_MAP_IPS | NF_NAT_RANGE_PROTO_SPECIFIED)) return std::nullopt;
  if (range.first_port != range.last_port) return std::nullopt;
  return DestinationNat{range.first, range.first_port};
}

std::optional<Target> decode_snat(const NatRange& range) {
  constexpr std::uint32_t kOptions = NF_NAT_RANGE_PROTO_RANDOM_FULLY | NF_NAT_RANGE_PERSISTENT;
  if ((range.flags & ~kOptions) != NF_NAT_RANGE_MAP_IPS) return std::nullopt;
  return SourceNat{.first = range.first,
                   .last = range.last,
                   .fully_random = (range.flags & NF_NAT_RANGE_PROTO_RANDOM_FULLY) != 0,
                   .persistent = (range.flags & NF_NAT_RANGE_PERSISTENT) != 0};
}

std::optional<Target> decode_masquerade(const NatRange& range) {
  if (range.flags == 0) return Masquerade{};
  if (range.flags != NF_NAT_RANGE_PROTO_RANDOM_FULLY) return std::nullopt;
  return Masquerade{.fully_random = true};
}

}  // namespace

bool decode_match(std::string_view name, std::uint32_t revision, std::span<const std::byte> info,
                  Rule& rule) {
  if (decode_ports(name, revision, info, rule)) return true;
  std::optional<Match> match = decode_other_match(name, revision, info);
  if (!match) return false;
  rule.matches.push_back(*std::move(match));
  return true;
}

std::optional<Target> decode_target(inet::Family family, std::string_view name,
                                    std::uint32_t revision, std::span<const std::byte> info) {
  if (name == "MARK" && revision == 2) {
    const auto mark = read<xt_mark_tginfo2>(info);
    if (!mark) return std::nullopt;
    return SetMark{.value = mark->mark, .mask = mark->mask};
  }
  if (name != "DNAT" && name != "SNAT" && name != "MASQUERADE") return std::nullopt;
  const std::optional<NatRange> range = read_range(family, name, revision, info);
  if (!range) return std::nullopt;
  if (name == "DNAT") return decode_dnat(*range);
  if (name == "SNAT") return decode_snat(*range);
  return decode_masquerade(*range);
}

}  // namespace cni::xtables
