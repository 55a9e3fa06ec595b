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
#include <cstring>
#include <optional>
#include <type_traits>
#include <utility>
#include <variant>

#include "xtables/extension.h"
#include "xtables/sctp_info.h"

namespace cni::xtables {
namespace {

constexpr std::size_t kAlignment = 8;
constexpr std::uint8_t kNoChunkType = 0xff;

// What the kernel compares with the size of the struct it knows.
static_assert(sizeof(xt_comment_info) == 256);
static_assert(sizeof(xt_addrtype_info_v1) == 8);
static_assert(sizeof(xt_multiport_v1) == 48);
static_assert(sizeof(xt_tcp) == 12);
static_assert(sizeof(xt_udp) == 10);
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

}  // namespace cni::xtables
