#include "xtables/extension.h"

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

#include <algorithm>
#include <array>
#include <cstring>
#include <type_traits>
#include <utility>

namespace cni::xtables {
namespace {

constexpr std::size_t kAlignment = 8;
constexpr std::uint16_t kLastPort = 0xffff;

// xt_sctp_info of linux/netfilter/xt_sctp.h, which is C only.
struct SctpInfo {
  std::array<std::uint16_t, 2> destination;
  std::array<std::uint16_t, 2> source;
  std::array<std::uint32_t, 64> chunks;
  std::uint32_t chunk_match_type;
  struct FlagInfo {
    std::uint8_t chunk_type;
    std::uint8_t flag;
    std::uint8_t flag_mask;
  };
  std::array<FlagInfo, 4> flag_info;
  std::int32_t flag_count;
  std::uint32_t flags;
  std::uint32_t inverted_flags;
};
constexpr std::uint32_t kSctpSourcePorts = 1;
constexpr std::uint32_t kSctpDestinationPorts = 2;
constexpr std::uint8_t kNoChunkType = 0xff;

// What the kernel compares with the size of the struct it knows.
static_assert(sizeof(xt_comment_info) == 256);
static_assert(sizeof(xt_addrtype_info_v1) == 8);
static_assert(sizeof(xt_multiport_v1) == 48);
static_assert(sizeof(xt_tcp) == 12);
static_assert(sizeof(xt_udp) == 10);
static_assert(sizeof(SctpInfo) == 292);
static_assert(offsetof(SctpInfo, flag_info) == 268);
static_assert(offsetof(SctpInfo, flags) == 284);
static_assert(sizeof(xt_mark_mtinfo1) == 12);
static_assert(sizeof(xt_mark_tginfo2) == 8);
static_assert(sizeof(xt_conntrack_mtinfo3) == 164);
static_assert(offsetof(xt_conntrack_mtinfo3, match_flags) == 146);
static_assert(offsetof(xt_conntrack_mtinfo3, state_mask) == 150);
static_assert(sizeof(nf_nat_range2) == 44);
static_assert(sizeof(nf_nat_range) == 40);
static_assert(sizeof(nf_nat_ipv4_multi_range_compat) == 20);

// One of these structs as bytes, all zero at first: those between and after its members stay so, as
// iptables compares them. A variable of the struct's type would not keep them.
template <typename Info>
class Zeroed {
 public:
  static_assert(std::is_trivially_copyable_v<Info>);
  Zeroed() : bytes_((sizeof(Info) + kAlignment - 1) / kAlignment * kAlignment) {}

  // Storage of bytes holds an object of any such type ([intro.object]).
  Info* operator->() { return reinterpret_cast<Info*>(bytes_.data()); }

  std::vector<std::byte> take() && { return std::move(bytes_); }

 private:
  std::vector<std::byte> bytes_;
};

template <typename Info>
Extension make(const char* name, std::uint8_t revision, Zeroed<Info> info) {
  return {.name = name, .revision = revision, .info = std::move(info).take()};
}

template <typename Info>
std::optional<Info> read(std::span<const std::byte> bytes) {
  static_assert(std::is_trivially_copyable_v<Info>);
  Info info;
  if (bytes.size() < sizeof info) return std::nullopt;
  std::memcpy(&info, bytes.data(), sizeof info);
  return info;
}

// --- ports

constexpr PortRange kAllPorts{0, kLastPort};

std::optional<PortRange> unless_all(const PortRange& range) {
  return range == kAllPorts ? std::nullopt : std::optional(range);
}

template <typename Info>
Zeroed<Info> tcp_or_udp(const Rule& rule) {
  const PortRange source = rule.source_ports.value_or(kAllPorts);
  const PortRange destination = rule.destination_ports.value_or(kAllPorts);
  Zeroed<Info> info;
  info->spts[0] = source.first;
  info->spts[1] = source.last;
  info->dpts[0] = destination.first;
  info->dpts[1] = destination.last;
  return info;
}

Zeroed<SctpInfo> sctp(const Rule& rule) {
  Zeroed<SctpInfo> info;
  if (rule.destination_ports) {
    info->destination = {rule.destination_ports->first, rule.destination_ports->last};
    info->flags |= kSctpDestinationPorts;
  }
  if (rule.source_ports) {
    info->source = {rule.source_ports->first, rule.source_ports->last};
    info->flags |= kSctpSourcePorts;
  }
  // Without effect on packets, but iptables writes and compares it.
  for (auto& flag_info : info->flag_info) flag_info.chunk_type = kNoChunkType;
  return info;
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

struct MatchEncoder {
  Extension operator()(const Comment& comment) const {
    Zeroed<xt_comment_info> info;
    std::memcpy(info->comment, comment.text.data(),
                std::min(comment.text.size(), sizeof info->comment - 1));
    return make("comment", 0, std::move(info));
  }
  Extension operator()(const ToLocalAddress&) const {
    Zeroed<xt_addrtype_info_v1> info;
    info->dest = 1 << RTN_LOCAL;
    return make("addrtype", 1, std::move(info));
  }
  Extension operator()(const DestinationPorts& match) const {
    Zeroed<xt_multiport_v1> info;
    info->flags = XT_MULTIPORT_DESTINATION;
    info->count =
        static_cast<std::uint8_t>(std::min<std::size_t>(match.ports.size(), XT_MULTI_PORTS));
    std::copy_n(match.ports.begin(), info->count, std::begin(info->ports));
    return make("multiport", 1, std::move(info));
  }
  Extension operator()(const MarkMatch& match) const {
    Zeroed<xt_mark_mtinfo1> info;
    info->mark = match.value;
    info->mask = match.mask;
    return make("mark", 1, std::move(info));
  }
  Extension operator()(const ConntrackState& match) const {
    Zeroed<xt_conntrack_mtinfo3> info;
    info->match_flags = XT_CONNTRACK_STATE;
    info->state_mask = match.states;
    return make("conntrack", 3, std::move(info));
  }
};

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

nf_inet_addr nat_address(const inet::Address& address) {
  nf_inet_addr result{};
  const auto bytes = address.bytes();
  std::memcpy(&result, bytes.data(), bytes.size());
  return result;
}

__be32 nat_ipv4(const inet::Address& address) {
  __be32 result = 0;
  std::memcpy(&result, address.bytes().data(), sizeof result);
  return result;
}

std::uint32_t flags_of(const SourceNat& target) {
  std::uint32_t flags = NF_NAT_RANGE_MAP_IPS;
  if (target.fully_random) flags |= NF_NAT_RANGE_PROTO_RANDOM_FULLY;
  if (target.persistent) flags |= NF_NAT_RANGE_PERSISTENT;
  return flags;
}

// With one range, which is all that the kernel still takes.
Zeroed<nf_nat_ipv4_multi_range_compat> one_range(std::uint32_t flags, __be32 first, __be32 last) {
  Zeroed<nf_nat_ipv4_multi_range_compat> info;
  info->rangesize = 1;
  info->range[0].flags = flags;
  info->range[0].min_ip = first;
  info->range[0].max_ip = last;
  return info;
}

struct TargetEncoder {
  inet::Family family;

  std::optional<Extension> operator()(const Accept&) const { return std::nullopt; }
  std::optional<Extension> operator()(const Drop&) const { return std::nullopt; }
  std::optional<Extension> operator()(const Return&) const { return std::nullopt; }
  std::optional<Extension> operator()(const Jump&) const { return std::nullopt; }
  std::optional<Extension> operator()(const SetMark& target) const {
    Zeroed<xt_mark_tginfo2> info;
    info->mark = target.value;
    info->mask = target.mask;
    return make("MARK", 2, std::move(info));
  }
  std::optional<Extension> operator()(const DestinationNat& target) const {
    Zeroed<nf_nat_range2> info;
    info->flags = NF_NAT_RANGE_MAP_IPS;
    info->min_addr = info->max_addr = nat_address(target.address);
    if (target.port != 0) {
      info->flags |= NF_NAT_RANGE_PROTO_SPECIFIED;
      info->min_proto.all = info->max_proto.all = htobe16(target.port);
    }
    return make("DNAT", 2, std::move(info));
  }
  std::optional<Extension> operator()(const SourceNat& target) const {
    if (family == inet::Family::kIpv4) {
      return make("SNAT", 0,
                  one_range(flags_of(target), nat_ipv4(target.first), nat_ipv4(target.last)));
    }
    Zeroed<nf_nat_range> info;
    info->flags = flags_of(target);
    info->min_addr = nat_address(target.first);
    info->max_addr = nat_address(target.last);
    return make("SNAT", 1, std::move(info));
  }
  std::optional<Extension> operator()(const Masquerade& target) const {
    const std::uint32_t flags = target.fully_random ? NF_NAT_RANGE_PROTO_RANDOM_FULLY : 0;
    if (family == inet::Family::kIpv4) return make("MASQUERADE", 0, one_range(flags, 0, 0));
    Zeroed<nf_nat_range> info;
    info->flags = flags;
    return make("MASQUERADE", 0, std::move(info));
  }
};

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
  SourceNat target{.first = range.first, .last = range.last};
  target.fully_random = (range.flags & NF_NAT_RANGE_PROTO_RANDOM_FULLY) != 0;
  target.persistent = (range.flags & NF_NAT_RANGE_PERSISTENT) != 0;
  if (range.flags != flags_of(target)) return std::nullopt;
  return target;
}

std::optional<Target> decode_masquerade(const NatRange& range) {
  if (range.flags == 0) return Masquerade{};
  if (range.flags != NF_NAT_RANGE_PROTO_RANDOM_FULLY) return std::nullopt;
  return Masquerade{.fully_random = true};
}

}  // namespace

Extension encode_match(const Match& match) {
  return std::visit(MatchEncoder{}, match);
}

Extension encode_ports(const Rule& rule) {
  if (rule.protocol == IPPROTO_TCP) return make("tcp", 0, tcp_or_udp<xt_tcp>(rule));
  if (rule.protocol == IPPROTO_UDP) return make("udp", 0, tcp_or_udp<xt_udp>(rule));
  return make("sctp", 0, sctp(rule));
}

std::vector<Extension> encode_matches(const Rule& rule) {
  std::vector<Extension> extensions;
  if (rule.source_ports || rule.destination_ports) extensions.push_back(encode_ports(rule));
  for (const Match& match : rule.matches) extensions.push_back(encode_match(match));
  return extensions;
}

std::optional<Extension> encode_target(inet::Family family, const Target& target) {
  return std::visit(TargetEncoder{family}, target);
}

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
