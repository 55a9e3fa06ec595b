#include "xtables_hostports.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "chain_names.h"
#include "condition_rules.h"

namespace cni::portmap {
namespace {

using inet::Family;
using inet::Network;
using xtables::Comment;
using xtables::Jump;
using xtables::Rule;
using xtables::StoredRule;
using xtables::Table;

constexpr std::size_t kMostPorts = 15;  // XT_MULTI_PORTS, linux/netfilter/xt_multiport.h

void add_shared_rules(ContainerRules& rules, const Config& config) {
  const std::uint32_t mark = 1U << config.mark_bit;
  if (config.snat && !config.external_set_mark_chain) {
    rules.shared_chains = {kSetMarkChain, kMasqueradeChain};
    rules.shared = {
        {kSetMarkChain,
         {.matches = {Comment{"CNI portfwd masquerade mark"}},
          .target = xtables::SetMark{mark, mark}}},
        {kMasqueradeChain,
         {.matches = {xtables::MarkMatch{mark, mark}}, .target = xtables::Masquerade{}}},
        {"POSTROUTING", masquerade_jump(), true}};
  }
  rules.shared_chains.emplace_back(kEntryChain);
  for (const char* chain : {"PREROUTING", "OUTPUT"}) {
    rules.shared.push_back(
        {chain, {.matches = {xtables::ToLocalAddress{}}, .target = Jump{kEntryChain}}});
  }
}

// One port, or a stretch that stays as it is.
void add_port_rules(ContainerRules& rules, const Config& config, const Mapping& mapping,
                    const Network& container, std::uint16_t host_port, std::uint16_t last_port,
                    std::uint16_t container_port) {
  Rule base{.protocol = static_cast<std::uint8_t>(mapping.protocol),
            .destination_ports = xtables::PortRange{host_port, last_port},
            .target = Jump{config.external_set_mark_chain.value_or(kSetMarkChain)}};
  if (mapping.host_ip && !mapping.host_ip->is_unspecified()) {
    base.destination = {Network::host(*mapping.host_ip), false};
  }
  const auto mark_from = [&](const Network& source) {
    Rule rule = base;
    rule.source = {source, false};
    rules.own.push_back(std::move(rule));
  };
  if (config.masq_all) {
    rules.own.push_back(base);
  } else if (config.snat) {
    mark_from(container.masked());
    if (container.family() == Family::kIpv4) mark_from(*Network::parse("127.0.0.1/32"));
  }
  Rule forward = base;
  forward.target = xtables::DestinationNat{container.address, container_port};
  rules.own.push_back(std::move(forward));
}

void add_own_rules(ContainerRules& rules, const Config& config, Family family) {
  const Network& container = *config.address(family);
  for (const Mapping& mapping : config.mappings) {
    if (!mapping.concerns(family)) continue;
    const auto port = [](unsigned number) { return static_cast<std::uint16_t>(number); };
    if (mapping.count > 1 && mapping.host_port == mapping.container_port) {
      add_port_rules(rules, config, mapping, container, mapping.host_port,
                     port(mapping.host_port + mapping.count - 1), 0);
      continue;
    }
    for (unsigned offset = 0; offset < mapping.count; ++offset) {
      add_port_rules(rules, config, mapping, container, port(mapping.host_port + offset),
                     port(mapping.host_port + offset), port(mapping.container_port + offset));
    }
  }
}

// Ports of all families, as in the reference suite: the others find nothing in the chain.
void add_entry_rules(ContainerRules& rules, const Config& config, Family family,
                     const std::string& comment) {
  std::map<std::string, std::vector<const Mapping*>> by_protocol;
  for (const Mapping& mapping : config.mappings) {
    by_protocol[name(mapping.protocol)].push_back(&mapping);
  }
  const auto add = [&](Rule rule) {
    rule.target = Jump{rules.chain};
    for (Rule& one : with_conditions(rule, config.conditions(family).parsed)) {
      rules.entry.push_back(std::move(one));
    }
  };
  for (const auto& [protocol, mappings] : by_protocol) {
    const auto number = static_cast<std::uint8_t>(mappings.front()->protocol);
    std::vector<std::uint16_t> ports;
    const auto add_ports = [&] {
      if (ports.empty()) return;
      add({.protocol = number,
           .matches = {Comment{comment}, xtables::DestinationPorts{ports}},
           .target = {}});
      ports.clear();
    };
    for (const Mapping* mapping : mappings) {
      if (mapping->count > 1) continue;
      ports.push_back(mapping->host_port);
      if (ports.size() == kMostPorts) add_ports();
    }
    add_ports();
    for (const Mapping* mapping : mappings) {
      if (mapping->count == 1) continue;
      const auto last = static_cast<std::uint16_t>(mapping->host_port + mapping->count - 1);
      add({.protocol = number,
           .destination_ports = xtables::PortRange{mapping->host_port, last},
           .matches = {Comment{comment}},
           .target = {}});
    }
  }
}

// All are there in their order, perhaps with others between them.
bool has_in_order(const std::vector<StoredRule>& stored, const std::vector<Rule>& wanted) {
  auto next = wanted.begin();
  for (const StoredRule& one : stored) {
    if (next == wanted.end()) break;
    if (one.rule && xtables::same_meaning(*one.rule, *next)) ++next;
  }
  return next == wanted.end();
}

bool has_exactly(const std::vector<StoredRule>& stored, const std::vector<Rule>& wanted) {
  return std::ranges::equal(stored, wanted, [](const StoredRule& one, const Rule& other) {
    return one.rule && xtables::same_meaning(*one.rule, other);
  });
}

std::vector<StoredRule> jumps_to(const Table& nat, const std::string& chain) {
  std::vector<StoredRule> jumps;
  std::ranges::copy_if(nat.rules(kEntryChain), std::back_inserter(jumps),
                       [&](const StoredRule& rule) { return rule.jump_target == chain; });
  return jumps;
}

// Also by hand, or as externalSetMarkChain.
bool is_used_by_others(const Table& nat, const std::string& chain) {
  std::size_t references = nat.references(chain);
  for (const std::string& origin : origins_of(chain)) {
    if (references == 0) break;
    references -= static_cast<std::size_t>(
        std::ranges::count(nat.rules(origin), chain, &StoredRule::jump_target));
  }
  return references > 0;
}

void delete_shared_chains_unless_used(Table& nat) {
  if (!nat.rules(kEntryChain).empty()) return;
  const auto is_used = [&](const char* chain) { return is_used_by_others(nat, chain); };
  if (std::ranges::any_of(kSharedChains, is_used)) return;
  for (const char* chain : kSharedChains) nat.delete_chain_if_exists(chain, origins_of(chain));
}

}  // namespace

std::vector<std::string> origins_of(const std::string& chain) {
  if (chain == kEntryChain) return {"PREROUTING", "OUTPUT"};
  if (chain == kMasqueradeChain) return {"POSTROUTING"};
  if (chain == kSetMarkChain) return {};
  return {kEntryChain};
}

Rule masquerade_jump() {
  return {.matches = {Comment{"CNI portfwd requiring masquerade"}},
          .target = Jump{kMasqueradeChain}};
}

ContainerRules render_rules(const Config& config, Family family, const std::string& network,
                            const std::string& container_id) {
  ContainerRules rules;
  rules.chain = container_chain(network, container_id);
  add_shared_rules(rules, config);
  add_own_rules(rules, config, family);
  add_entry_rules(rules, config, family, entry_comment(network, container_id));
  return rules;
}

void apply_rules(Table& nat, const ContainerRules& rules, const std::vector<ChainShare>& others) {
  for (const std::string& chain : rules.shared_chains) nat.ensure_chain(chain);
  for (const auto& [chain, rule, first] : rules.shared) {
    if (!first) {
      nat.ensure_appended(chain, rule);
    } else if (nat.references(rule.jump_target()) == 0) {
      nat.insert(chain, 0, rule);
    }
  }
  nat.ensure_chain(rules.chain);
  replace_rules(nat, rules.chain, rules.own, others);
  if (!others.empty()) {
    for (const Rule& rule : rules.entry) nat.ensure_appended(kEntryChain, rule);
    return;
  }
  if (nat.references(rules.chain) > 0) {
    if (has_exactly(jumps_to(nat, rules.chain), rules.entry)) return;
    nat.erase_if(kEntryChain,
                 [&](const StoredRule& rule) { return rule.jump_target == rules.chain; });
  }
  for (const Rule& rule : rules.entry) nat.append(kEntryChain, rule);
}

std::vector<std::string> missing_rules(const Table& nat, const ContainerRules& rules) {
  std::vector<std::string> missing;
  const auto expect = [&](const std::string& chain, const std::vector<StoredRule>& present,
                          const Rule& rule) {
    const bool found = std::ranges::any_of(present, [&](const StoredRule& one) {
      return one.rule && xtables::same_meaning(*one.rule, rule);
    });
    if (!found) {
      missing.push_back(fmt::format("rule \"{}\" in chain {} not found in table nat",
                                    xtables::render(rule), chain));
    }
  };
  std::vector<std::string> chains = rules.shared_chains;
  chains.push_back(rules.chain);
  for (const std::string& chain : chains) {
    if (!nat.has_chain(chain)) {
      missing.push_back(fmt::format("chain {} not found in iptables table nat", chain));
    }
  }
  if (!missing.empty()) return missing;
  for (const auto& [chain, rule, first] : rules.shared) expect(chain, nat.rules(chain), rule);
  // Nearly always all are there in their order, and there may be thousands.
  const auto& own = nat.rules(rules.chain);
  if (!has_in_order(own, rules.own)) {
    for (const Rule& rule : rules.own) expect(rules.chain, own, rule);
  }
  const auto entry = jumps_to(nat, rules.chain);
  if (!has_in_order(entry, rules.entry)) {
    for (const Rule& rule : rules.entry) expect(kEntryChain, entry, rule);
  }
  return missing;
}

bool remove_chain(Table& nat, const std::string& chain) {
  const std::string source_chain =
      std::string(kSourceChainPrefix) + chain.substr(kContainerChainPrefix.size());
  const bool had_source = nat.delete_chain_if_exists(source_chain, {kSourceEntryChain});
  const bool had = nat.delete_chain_if_exists(chain, origins_of(chain));
  if (had) delete_shared_chains_unless_used(nat);
  return had || had_source;
}

std::vector<ChainHolder> chain_holders(const Table& nat,
                                       const std::function<bool(const ChainHolder&)>& condition) {
  std::map<std::string, ChainHolder> holders;
  for (const StoredRule& entry : nat.rules(kEntryChain)) {
    if (!entry.jump_target.starts_with(kContainerChainPrefix)) continue;
    const auto [place, is_new] = holders.try_emplace(entry.jump_target);
    ChainHolder& holder = place->second;
    if (is_new) {
      holder.chain = entry.jump_target;
      holder.let_in.emplace();
    }
    if (const auto owner = parse_entry_comment(entry.comment)) {
      holder.network = owner->network;
      holder.container_id = owner->container_id;
    }
    const auto let_in = let_in_by(entry);
    if (!let_in) holder.let_in.reset();
    if (holder.let_in) holder.let_in->insert(holder.let_in->end(), let_in->begin(), let_in->end());
  }
  std::vector<ChainHolder> list;
  for (auto& [chain, holder] : holders) {
    if (!condition(holder)) continue;
    for (const StoredRule& stored : nat.rules(chain)) {
      const auto run = served_by(stored);
      if (!run) continue;
      holder.runs.push_back(*run);
      holder.address = std::get<xtables::DestinationNat>(stored.rule->target).address;
    }
    list.push_back(std::move(holder));
  }
  return list;
}

}  // namespace cni::portmap
