#include "native_layout.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>

#include "base/digest.h"
#include "condition_rules.h"
#include "netfilter/element_owner.h"
#include "nftables/intervals.h"

namespace cni::portmap {
namespace {

namespace expr = nftables::expr;
using inet::Family;
using netfilter::ChainContent;
using nftables::Bytes;
using nftables::Element;
using nftables::Expression;
using nftables::Set;
using nftables::Verdict;

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

std::uint32_t address_length(Family family) {
  return family == Family::kIpv4 ? 4 : 16;
}

std::uint32_t address_type(Family family) {
  return family == Family::kIpv4 ? nftables::kTypeIp4 : nftables::kTypeIp6;
}

// Maps by protocol and port, or by address, protocol and port.
enum class Key { kPort, kAddressAndPort, kRange };

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

// All that can have elements of attachments.
struct Sets {
  Set ip_gates, gates, range_gates, ip_ports, ports, ranges, sources_of;
  // Of those whose rules are elsewhere.
  Set chain_ip_ports, chain_ports, chain_ranges;
};

// Asking for more is slower than reading all.
constexpr std::size_t kMostKeys = 1024;

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

Expression load_address(Family family, bool source, unsigned to) {
  const std::uint32_t offset = family == Family::kIpv4 ? (source ? 12U : 16U) : (source ? 8U : 24U);
  return expr::payload(expr::Header::kNetwork, offset, address_length(family), to);
}

std::vector<Expression> load_key(Family family, Key key) {
  std::vector<Expression> loads;
  unsigned to = kKey;
  if (key != Key::kPort) {
    loads.push_back(load_address(family, false, to));
    to += address_length(family) / 4;
  }
  loads.push_back(expr::meta(expr::Meta::kProtocol, to));
  loads.push_back(expr::payload(expr::Header::kTransport, 2, 2, to + 1));
  return loads;
}

class LayoutBuilder {
 public:
  explicit LayoutBuilder(Family family) : family_(family), table_(hostports_table(family)) {}

  ChainContent chain(const std::string& name, std::vector<std::vector<Expression>> rules,
                     std::optional<nftables::Hook> hook = std::nullopt) const {
    ChainContent content{.chain = {.table = table_, .name = name, .hook = std::move(hook)},
                         .rules = {}};
    for (auto& expressions : rules) {
      content.rules.push_back(
          {.table = table_, .chain = name, .expressions = std::move(expressions)});
    }
    return content;
  }

  std::vector<Expression> gate_rule(const Set& gates, Key key) const {
    auto rule = load_key(family_, key);
    rule.push_back(expr::lookup_verdict(gates.name, kKey));
    return rule;
  }

  std::vector<Expression> forward_rule(const Set& map, Key key) const {
    auto rule = load_key(family_, key);
    rule.push_back(expr::lookup_value(map.name, kKey, kValue));
    rule.push_back(expr::meta(expr::Meta::kMark, kMarkRegister));
    rule.push_back(expr::bitwise(kMarkRegister, kMarkRegister, nftables::host_order(~kMark),
                                 nftables::host_order(kMark)));
    rule.push_back(expr::set_mark(kMarkRegister));
    const bool with_port = key != Key::kRange;
    rule.push_back(
        expr::dnat(family_, kValue,
                   with_port ? std::optional(kValue + address_length(family_) / 4) : std::nullopt));
    return rule;
  }

 private:
  Family family_;
  nftables::TableId table_;
};

ChainContent guard_chain() {
  const LayoutBuilder build(Family::kIpv4);
  // Answers to localhost through a mapping are sent to an address of the host, and translated
  // later than here.
  return build.chain("guard",
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

std::string gate_text(const Gate& gate) {
  json::Value text = json::Value::array();
  text.push_back(gate.conditions);
  text.push_back(gate.sources.limited);
  for (const auto* list : {&gate.sources.allowed, &gate.sources.denied}) {
    json::Value networks = json::Value::array();
    for (const inet::Network& network : *list) networks.push_back(network.text());
    text.push_back(std::move(networks));
  }
  return json::compact(text);
}

std::string gate_digest(const Gate& gate) {
  return sha512_hex(gate_text(gate), 16);
}

std::string gate_name(const Gate& gate) {
  return "gate-" + gate_digest(gate);
}

SharedChain gate_chain(const Gate& gate, Family family) {
  std::vector<std::vector<Expression>> rules = missed(parse_conditions(gate.conditions, family));
  for (auto& rule : rules) rule.push_back(expr::verdict({.kind = Verdict::Kind::kAccept}));

  SharedChain shared;
  const auto drop_sources = [&](const char* prefix, const std::vector<inet::Network>& networks,
                                bool listed) {
    const Set set{.table = hostports_table(family),
                  .name = prefix + gate_digest(gate),
                  .key_length = address_length(family),
                  .key_type = address_type(family),
                  .interval = true};
    // What the host itself sends has no interface that it came in by.
    rules.push_back({expr::meta(expr::Meta::kInInterface, kKey),
                     expr::compare(expr::Compare::kNotEqual, kKey, nftables::host_order(0)),
                     load_address(family, true, kKey), expr::lookup(set.name, kKey, !listed),
                     expr::verdict({.kind = Verdict::Kind::kDrop})});
    shared.sets.push_back({.set = set, .elements = nftables::interval_elements(networks)});
  };
  if (!gate.sources.denied.empty()) drop_sources("deny-", gate.sources.denied, true);
  if (gate.sources.limited) drop_sources("allow-", gate.sources.allowed, false);
  shared.content = LayoutBuilder(family).chain(gate_name(gate), std::move(rules));
  return shared;
}

SharedChain localnet_chain_of(const Localnet& localnet) {
  return {.content = LayoutBuilder(Family::kIpv4).chain(localnet_chain(localnet), {})};
}

std::string masquerade_name(const Holding& holding) {
  if (holding.masquerade == Masquerade::kAll) return "everybody";
  return "near-" + sha512_hex(holding.address.masked().text(), 16);
}

SharedChain masquerade_chain(const Holding& holding) {
  const Family family = holding.family();
  const auto from = [&](const inet::Network& network) {
    // The other way round: what is missed by the condition "not from there".
    const Condition elsewhere{
        .field = Condition::Field::kSource, .inverted = true, .networks = {network}};
    auto rule = missed(std::vector{elsewhere}).front();
    rule.push_back(expr::masquerade(false));
    return rule;
  };
  std::vector<std::vector<Expression>> rules;
  if (holding.masquerade == Masquerade::kAll) {
    rules.push_back({expr::masquerade(false)});
  } else {
    rules.push_back(from(holding.address.masked()));
    const char* localhost = family == Family::kIpv4 ? "127.0.0.0/8" : "::1/128";
    rules.push_back(from(*inet::Network::parse(localhost)));
  }
  return {.content = LayoutBuilder(family).chain(masquerade_name(holding), std::move(rules))};
}

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

nftables::TableId hostports_table(Family family) {
  return {.family = nftables::table_family(family), .name = "plumb_hostports"};
}

netfilter::Layout hostports_layout(Family family, bool with_guard) {
  const Sets sets = sets_of(family);
  const LayoutBuilder build(family);
  const std::vector<Expression> to_host = {
      expr::fib_destination_type(kKey),
      expr::compare(expr::Compare::kEqual, kKey, nftables::host_order(kLocalAddress)),
      expr::verdict({.kind = Verdict::Kind::kJump, .chain = "hostports"})};
  netfilter::Layout layout{
      .sets = {sets.ip_gates, sets.gates, sets.range_gates, sets.ip_ports, sets.ports, sets.ranges,
               sets.sources_of},
      .chains = {
          build.chain("hostports", {build.gate_rule(sets.ip_gates, Key::kAddressAndPort),
                                    build.forward_rule(sets.ip_ports, Key::kAddressAndPort),
                                    build.gate_rule(sets.gates, Key::kPort),
                                    build.forward_rule(sets.ports, Key::kPort),
                                    build.gate_rule(sets.range_gates, Key::kRange),
                                    build.forward_rule(sets.ranges, Key::kRange)}),
          build.chain("prerouting", {to_host}, nftables::Hook{"nat", kPrerouting, kPriorityDnat}),
          build.chain("output", {to_host}, nftables::Hook{"nat", kOutput, kPriorityDnat}),
          build.chain(
              "postrouting",
              {{expr::meta(expr::Meta::kMark, kKey),
                expr::bitwise(kKey, kKey, nftables::host_order(kMark), nftables::host_order(0)),
                expr::compare(expr::Compare::kEqual, kKey, nftables::host_order(0)),
                expr::verdict({.kind = Verdict::Kind::kReturn})},
               {expr::meta(expr::Meta::kMark, kKey),
                expr::bitwise(kKey, kKey, nftables::host_order(~kMark), nftables::host_order(0)),
                expr::set_mark(kKey)},
               {load_address(family, false, kKey),
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

std::vector<SharedChain> shared_chains(const Holding& holding) {
  std::vector<SharedChain> chains;
  if (holding.localnet) chains.push_back(localnet_chain_of(*holding.localnet));
  if (holding.store != netfilter::StoreChoice::kNative) return chains;
  for (std::size_t gate = 0; gate < holding.gates.size(); ++gate) {
    const bool used =
        std::ranges::any_of(holding.runs, [&](const Run& run) { return run.gate == gate; });
    if (used) chains.push_back(gate_chain(holding.gates[gate], holding.family()));
  }
  if (holding.masquerade != Masquerade::kNone) chains.push_back(masquerade_chain(holding));
  return chains;
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

std::string localnet_chain(const Localnet& localnet) {
  // nft(8) reads no name with other characters back.
  const bool is_readable = std::ranges::all_of(localnet.interface, [](unsigned char one) {
    return std::isalnum(one) != 0 || one == '_' || one == '-' || one == '.';
  });
  return fmt::format("localnet-{}{}", localnet.reset ? "" : "kept-",
                     is_readable ? localnet.interface : sha512_hex(localnet.interface, 16));
}

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
