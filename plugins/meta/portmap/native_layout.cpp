#include "native_layout.h"

#include <utility>

#include "native_sets.h"

namespace cni::portmap {

namespace expr = nftables::expr;
using inet::Family;
using netfilter::ChainContent;
using nftables::Bytes;
using nftables::Expression;
using nftables::Set;
using nftables::Verdict;

namespace {

// NF_INET_*, linux/netfilter.h
constexpr std::uint32_t kPrerouting = 0;
constexpr std::uint32_t kOutput = 3;
constexpr std::uint32_t kPostrouting = 4;
// linux/netfilter_ipv4.h
constexpr std::int32_t kPriorityRaw = -300;
constexpr std::int32_t kPriorityDnat = -100;
constexpr std::int32_t kPrioritySnat = 100;

constexpr std::uint32_t kLocalAddress = 2;  // RTN_LOCAL, linux/rtnetlink.h

// The first packet of a connection that came through `hostports` has it until it leaves. A bit that
// neither Kubernetes nor the reference suite uses (13 to 15), nor the network plugins we know of.
constexpr std::uint32_t kMark = 0x1000;

// Registers: the key, which is at most an IPv6 address, a protocol and a port long; what a map has
// for it, at most an IPv6 address and a port; the mark.
constexpr unsigned kKey = 0;
constexpr unsigned kValue = 8;
constexpr unsigned kMarkRegister = 15;

std::vector<Expression> load_key(Family family, Key key) {
  std::vector<Expression> loads;
  unsigned to = kKey;
  if (key != Key::kPort) {
    loads.push_back(expr::destination_address(family, to));
    to += nftables::address_length(family) / 4;
  }
  loads.push_back(expr::meta(expr::Meta::kProtocol, to));
  loads.push_back(expr::payload(expr::Header::kTransport, 2, 2, to + 1));
  return loads;
}

std::vector<Expression> gate_rule(Family family, const Set& gates, Key key) {
  auto rule = load_key(family, key);
  rule.push_back(expr::lookup_verdict(gates.name, kKey));
  return rule;
}

std::vector<Expression> forward_rule(Family family, const Set& map, Key key) {
  auto rule = load_key(family, key);
  rule.push_back(expr::lookup_value(map.name, kKey, kValue));
  rule.push_back(expr::meta(expr::Meta::kMark, kMarkRegister));
  rule.push_back(expr::bitwise(kMarkRegister, kMarkRegister, nftables::host_order(~kMark),
                               nftables::host_order(kMark)));
  rule.push_back(expr::set_mark(kMarkRegister));
  const bool with_port = key != Key::kRange;
  rule.push_back(expr::dnat(
      family, kValue,
      with_port ? std::optional(kValue + nftables::address_length(family) / 4) : std::nullopt));
  return rule;
}

ChainContent guard_chain() {
  // Answers to localhost through a mapping are sent to an address of the host, and translated
  // later than here.
  return hostports_chain(
      Family::kIpv4, "guard",
      {{expr::meta(expr::Meta::kInInterfaceName, kKey),
        expr::compare(expr::Compare::kNotEqual, kKey, nftables::padded_name("lo")),
        expr::payload(expr::Header::kNetwork, 16, 1, kKey),
        expr::compare(expr::Compare::kEqual, kKey, Bytes{std::byte{127}}),
        expr::verdict({.kind = Verdict::Kind::kDrop})}},
      nftables::Hook{"filter", kPrerouting, kPriorityRaw});
}

void add_guard(netfilter::Layout& layout) {
  layout.chains.push_back(guard_chain());
  layout.sets.push_back(localnet_set());
}

}  // namespace

ChainContent hostports_chain(Family family, const std::string& name,
                             std::vector<std::vector<Expression>> rules,
                             std::optional<nftables::Hook> hook) {
  const nftables::TableId table = hostports_table(family);
  ChainContent content{.chain = {.table = table, .name = name, .hook = std::move(hook)},
                       .rules = {}};
  for (auto& expressions : rules) {
    content.rules.push_back({.table = table, .chain = name, .expressions = std::move(expressions)});
  }
  return content;
}

netfilter::Layout hostports_layout(Family family, bool with_guard) {
  const Sets sets = sets_of(family);
  const std::vector<Expression> to_host = {
      expr::fib_destination_type(kKey),
      expr::compare(expr::Compare::kEqual, kKey, nftables::host_order(kLocalAddress)),
      expr::verdict({.kind = Verdict::Kind::kJump, .chain = "hostports"})};
  netfilter::Layout layout{
      .sets = {sets.ip_gates, sets.gates, sets.range_gates, sets.ip_ports, sets.ports, sets.ranges,
               sets.sources_of},
      .chains = {
          hostports_chain(family, "hostports",
                          {gate_rule(family, sets.ip_gates, Key::kAddressAndPort),
                           forward_rule(family, sets.ip_ports, Key::kAddressAndPort),
                           gate_rule(family, sets.gates, Key::kPort),
                           forward_rule(family, sets.ports, Key::kPort),
                           gate_rule(family, sets.range_gates, Key::kRange),
                           forward_rule(family, sets.ranges, Key::kRange)}),
          hostports_chain(family, "prerouting", {to_host},
                          nftables::Hook{"nat", kPrerouting, kPriorityDnat}),
          hostports_chain(family, "output", {to_host},
                          nftables::Hook{"nat", kOutput, kPriorityDnat}),
          hostports_chain(
              family, "postrouting",
              {{expr::meta(expr::Meta::kMark, kKey),
                expr::bitwise(kKey, kKey, nftables::host_order(kMark), nftables::host_order(0)),
                expr::compare(expr::Compare::kEqual, kKey, nftables::host_order(0)),
                expr::verdict({.kind = Verdict::Kind::kReturn})},
               {expr::meta(expr::Meta::kMark, kKey),
                expr::bitwise(kKey, kKey, nftables::host_order(~kMark), nftables::host_order(0)),
                expr::set_mark(kKey)},
               {expr::destination_address(family, kKey),
                expr::lookup_verdict(sets.sources_of.name, kKey)}},
              nftables::Hook{"nat", kPostrouting, kPrioritySnat})}};
  if (with_guard) add_guard(layout);
  return layout;
}

netfilter::Layout chains_layout(Family family, bool with_guard) {
  const Sets sets = sets_of(family);
  netfilter::Layout layout{.sets = {sets.chain_ip_ports, sets.chain_ports, sets.chain_ranges},
                           .chains = {}};
  if (with_guard) add_guard(layout);
  return layout;
}

}  // namespace cni::portmap
