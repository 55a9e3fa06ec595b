#include "chain_shares.h"

#include <algorithm>
#include <map>
#include <ranges>

#include "chain_names.h"
#include "xtables_hostports.h"

namespace cni::portmap {
namespace {

using inet::Address;
using xtables::Rule;
using xtables::StoredRule;
using xtables::Table;

// Rules of a chain from `first` to before `end`.
struct Group {
  std::size_t first;
  std::size_t end;
  std::optional<Address> address = std::nullopt;  // nothing behind the last rule with DNAT
};

const xtables::DestinationNat* find_dnat(const StoredRule& stored) {
  return stored.rule ? std::get_if<xtables::DestinationNat>(&stored.rule->target) : nullptr;
}

std::vector<Group> groups_of(const std::vector<StoredRule>& rules) {
  std::vector<Group> groups;
  std::size_t first = 0;
  for (std::size_t at = 0; at < rules.size(); ++at) {
    const auto* dnat = find_dnat(rules[at]);
    if (dnat == nullptr) continue;
    groups.push_back({.first = first, .end = at + 1, .address = dnat->address});
    first = at + 1;
  }
  if (first < rules.size()) groups.push_back({.first = first, .end = rules.size()});
  return groups;
}

bool is_of(const Group& group, const std::vector<ChainShare>& shares) {
  return std::ranges::any_of(
      shares, [&](const ChainShare& share) { return share.address == group.address; });
}

void erase(Table& nat, const std::string& chain, const Group& group) {
  for (std::size_t at = group.end; at > group.first; --at) nat.erase(chain, at - 1);
}

using Ports = std::map<std::pair<std::uint8_t, std::uint16_t>, unsigned>;

template <typename Visit>
void for_each_port(const std::vector<Run>& runs, const Visit& visit) {
  for (const Run& run : runs) {
    for (unsigned port = run.host_port; port <= run.last_port(); ++port) {
      visit(std::pair(static_cast<std::uint8_t>(run.protocol), static_cast<std::uint16_t>(port)));
    }
  }
}

// How many of `jumps` let each port of `shares` in.
Ports count_ways(const std::vector<StoredRule>& jumps, const std::string& chain,
                 const std::vector<ChainShare>& shares) {
  Ports ways;
  for (const ChainShare& share : shares) {
    for_each_port(share.runs, [&](const auto& port) { ways.emplace(port, 0); });
  }
  for (const StoredRule& jump : jumps) {
    if (jump.jump_target != chain) continue;
    for_each_port(let_in_by(jump).value_or(std::vector<Run>()), [&](const auto& port) {
      if (const auto way = ways.find(port); way != ways.end()) ++way->second;
    });
  }
  return ways;
}

}  // namespace

std::optional<Run> served_by(const StoredRule& stored) {
  const auto* dnat = find_dnat(stored);
  if (dnat == nullptr || !stored.rule->destination_ports) return std::nullopt;
  const Rule& rule = *stored.rule;
  const auto protocol = static_cast<Protocol>(rule.protocol);
  if (name(protocol).empty()) return std::nullopt;
  const auto [first, last] = *rule.destination_ports;
  return Run{
      .protocol = protocol,
      .host_ip = rule.destination ? std::optional(rule.destination->network.address) : std::nullopt,
      .host_port = first,
      .container_port = dnat->port == 0 ? first : dnat->port,
      .count = last - first + 1U};
}

std::optional<std::vector<Run>> let_in_by(const StoredRule& jump) {
  if (!jump.rule) return std::nullopt;
  const auto protocol = static_cast<Protocol>(jump.rule->protocol);
  if (name(protocol).empty()) return std::nullopt;
  std::vector<Run> runs;
  const auto add = [&](std::uint16_t first, std::uint16_t last) {
    runs.push_back({.protocol = protocol,
                    .host_port = first,
                    .container_port = first,
                    .count = last - first + 1U});
  };
  if (const auto& range = jump.rule->destination_ports) add(range->first, range->last);
  for (const auto& match : jump.rule->matches) {
    const auto* list = std::get_if<xtables::DestinationPorts>(&match);
    if (list == nullptr) continue;
    for (const std::uint16_t port : list->ports) add(port, port);
  }
  if (runs.empty()) return std::nullopt;
  return runs;
}

void replace_rules(Table& nat, const std::string& chain, const std::vector<Rule>& own,
                   const std::vector<ChainShare>& others) {
  const std::vector<StoredRule>& present = nat.rules(chain);
  std::vector<Group> groups = groups_of(present);
  std::erase_if(groups, [&](const Group& group) { return is_of(group, others); });
  std::vector<const StoredRule*> old;
  for (const Group& group : groups) {
    for (std::size_t at = group.first; at < group.end; ++at) old.push_back(&present[at]);
  }
  if (std::ranges::equal(old, own, [](const StoredRule* one, const Rule& other) {
        return one->rule && xtables::same_meaning(*one->rule, other);
      })) {
    return;
  }
  if (old.size() == present.size()) {
    nat.flush(chain);
    for (const Rule& rule : own) nat.append(chain, rule);
    return;
  }
  std::size_t at = groups.empty() ? present.size() : groups.front().first;
  for (const Group& group : std::views::reverse(groups)) erase(nat, chain, group);
  for (const Rule& rule : own) nat.insert(chain, at++, rule);
}

void remove_rules(Table& nat, const std::string& chain, const std::vector<ChainShare>& others) {
  if (others.empty()) {
    remove_chain(nat, chain);
    return;
  }
  if (!nat.has_chain(chain)) return;
  for (const Group& group : std::views::reverse(groups_of(nat.rules(chain)))) {
    if (!is_of(group, others)) erase(nat, chain, group);
  }
  prune_jumps(nat, chain, others);
}

void prune_jumps(Table& nat, const std::string& chain, const std::vector<ChainShare>& shares) {
  Ports ways = count_ways(nat.rules(kEntryChain), chain, shares);
  nat.erase_if(kEntryChain, [&](const StoredRule& jump) {
    if (jump.jump_target != chain) return false;
    const auto runs = let_in_by(jump);
    if (!runs) return false;
    bool needed = false;
    for_each_port(*runs, [&](const auto& port) {
      const auto way = ways.find(port);
      needed = needed || (way != ways.end() && way->second == 1);
    });
    if (needed) return false;
    for_each_port(*runs, [&](const auto& port) {
      if (const auto way = ways.find(port); way != ways.end()) --way->second;
    });
    return true;
  });
}

void take_ports(Table& nat, const std::string& chain, const std::optional<Address>& address,
                const std::vector<Run>& runs) {
  const PortIndex wanted(runs);
  for (const Group& group : std::views::reverse(groups_of(nat.rules(chain)))) {
    if (!group.address || (address && group.address != address)) continue;
    const auto served = served_by(nat.rules(chain)[group.end - 1]);
    if (!served) continue;
    const std::vector<Run> taken = wanted.colliding(*served);
    if (taken.empty()) continue;
    std::vector<Rule> left;
    for (const Run& run : without({*served}, taken)) {
      for (std::size_t at = group.first; at < group.end; ++at) {
        const StoredRule& stored = nat.rules(chain)[at];
        if (!stored.rule) continue;
        left.emplace_back(*stored.rule).destination_ports =
            xtables::PortRange{run.host_port, run.last_port()};
      }
    }
    erase(nat, chain, group);
    std::size_t at = group.first;
    for (const Rule& rule : left) nat.insert(chain, at++, rule);
  }
}

}  // namespace cni::portmap
