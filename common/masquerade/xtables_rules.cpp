#include "masquerade/xtables_rules.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <set>
#include <utility>

#include "base/digest.h"

namespace cni::masquerade {
namespace {

using inet::Address;
using inet::Family;
using inet::Network;
using netfilter::Owner;
using xtables::Rule;
using xtables::StoredRule;
using xtables::Table;

constexpr const char* kPostrouting = "POSTROUTING";
constexpr std::string_view kChainPrefix = "CNI-";
constexpr std::size_t kChainDigits = 24;
constexpr std::size_t kLongestComment = 255;  // XT_MAX_COMMENT_LEN less the final zero

Network multicast(Family family) {
  return *Network::parse(family == Family::kIpv4 ? "224.0.0.0/4" : "ff00::/8");
}

// A network of all addresses is no condition at all.
std::optional<xtables::AddressMatch> match(const Network& network, bool inverted = false) {
  if (network.prefix_length == 0) return std::nullopt;
  return xtables::AddressMatch{.network = network.masked(), .inverted = inverted};
}

xtables::Target translation(Family family, const Config& config) {
  const bool fully_random = config.fully_random.value_or(false);
  if (const auto& source = config.snat(family)) {
    return xtables::SourceNat{.first = source->first,
                              .last = source->last,
                              .fully_random = fully_random,
                              .persistent = config.persistent};
  }
  return xtables::Masquerade{.fully_random = fully_random};
}

std::string mark_comment(const Owner& owner) {
  const std::string suffix = fmt::format(" if: \"{}\"", owner.ifname);
  const std::string whole = comment(owner.network, owner.container_id);
  return whole.substr(0, kLongestComment - suffix.size()) + suffix;
}

// The rules of `chain` that were read and could be understood, in order.
std::vector<Rule> known_rules(const Table& table, const std::string& chain) {
  std::vector<Rule> rules;
  for (const StoredRule& stored : table.rules(chain)) {
    if (stored.rule) rules.push_back(*stored.rule);
  }
  return rules;
}

// Of a jump or a mark: the addresses it is about, a network in the form of old releases.
std::optional<Network> source_of(const Rule& rule) {
  if (!rule.source || rule.source->inverted) return std::nullopt;
  return rule.source->network;
}

// By address, the comment of its mark.
struct Mark {
  Network source;
  std::string comment;
};

std::vector<Mark> marks(const Table& table, const std::string& chain) {
  std::vector<Mark> found;
  for (const Rule& rule : known_rules(table, chain)) {
    const auto source = source_of(rule);
    if (source && std::holds_alternative<xtables::Return>(rule.target)) {
      found.push_back({.source = *source, .comment = rule.comment()});
    }
  }
  return found;
}

void delete_chain_unless_used(Table& table, const std::string& chain) {
  if (table.has_chain(chain) && table.references(chain) == 0) table.delete_chain(chain);
}

// The sources of what jumps to `chain`.
std::vector<Network> jump_sources(const Table& table, const std::string& chain) {
  std::vector<Network> sources;
  if (table.references(chain) == 0) return sources;
  for (const Rule& rule : known_rules(table, kPostrouting)) {
    const auto source = source_of(rule);
    if (rule.jump_target() == chain && source) sources.push_back(*source);
  }
  return sources;
}

bool holds_any(const Network& network, const std::vector<Network>& sources) {
  return std::ranges::any_of(sources, [&](const Network& each) { return network.overlaps(each); });
}

bool is_accept(const Rule& rule) {
  return std::holds_alternative<xtables::Accept>(rule.target) && rule.destination &&
         !rule.destination->inverted;
}

// Takes out of the chain what only the addresses in `gone` needed; others still use it.
void shrink(Table& table, const std::string& chain, const std::vector<Network>& gone) {
  const std::vector<Network> left = jump_sources(table, chain);
  table.erase_if(chain, [&](const StoredRule& stored) {
    if (!stored.rule) return false;
    const auto source = source_of(*stored.rule);
    if (source && std::holds_alternative<xtables::Return>(stored.rule->target)) {
      return std::ranges::find(gone, *source) != gone.end();
    }
    return is_accept(*stored.rule) && holds_any(stored.rule->destination->network, gone) &&
           !holds_any(stored.rule->destination->network, left);
  });
}

// Takes out the jumps for which `condition` holds, and what is not needed without them.
void erase_jumps(Table& table, const std::string& chain,
                 const std::function<bool(const StoredRule&)>& condition) {
  std::vector<Network> gone;
  if (table.references(chain) > 0)
    table.erase_if(kPostrouting, [&](const StoredRule& stored) {
      if (stored.jump_target != chain || !condition(stored)) return false;
      if (stored.rule && source_of(*stored.rule)) gone.push_back(*source_of(*stored.rule));
      return true;
    });
  if (table.references(chain) > 0) {
    shrink(table, chain, gone);
  } else {
    delete_chain_unless_used(table, chain);
  }
}

// The address is ours now: what jumps for it elsewhere is of a container that is gone.
void erase_jumps_of_others(Table& table, const std::string& own_chain,
                           const std::vector<Network>& addresses) {
  const auto is_ours = [&](const StoredRule& stored) {
    if (!stored.rule || !stored.comment.starts_with("name: \"")) return false;
    const auto source = source_of(*stored.rule);
    return source && std::ranges::any_of(addresses, [&](const Network& each) {
             return Network::host(each.address) == *source;
           });
  };
  std::set<std::string> chains;
  for (const StoredRule& stored : table.rules(kPostrouting)) {
    if (is_chain_name(stored.jump_target) && stored.jump_target != own_chain && is_ours(stored)) {
      chains.insert(stored.jump_target);
    }
  }
  for (const std::string& chain : chains) erase_jumps(table, chain, is_ours);
}

void append_missing(std::vector<Rule>& rules, const std::vector<Rule>& more) {
  std::set<std::string> present;
  for (const Rule& each : rules) present.insert(render(each));
  for (const Rule& each : more) {
    if (present.insert(render(each)).second) rules.push_back(each);
  }
}

}  // namespace

std::string chain_name(const std::string& network, const std::string& container_id) {
  return std::string(kChainPrefix) + sha512_hex(network + container_id, kChainDigits);
}

bool is_chain_name(const std::string& chain) {
  return chain.size() == kChainPrefix.size() + kChainDigits && chain.starts_with(kChainPrefix) &&
         chain.find_first_not_of("0123456789abcdef", kChainPrefix.size()) == std::string::npos;
}

std::string comment_prefix(const std::string& network) {
  return fmt::format("name: \"{}\" id: \"", network).substr(0, kLongestComment);
}

std::string comment(const std::string& network, const std::string& container_id) {
  return fmt::format("name: \"{}\" id: \"{}\"", network, container_id).substr(0, kLongestComment);
}

Rule jump_rule(const Owner& owner, const Address& address) {
  return {.source = match(Network::host(address)),
          .matches = {xtables::Comment{comment(owner.network, owner.container_id)}},
          .target = xtables::Jump{chain_name(owner.network, owner.container_id)}};
}

std::vector<Rule> accept_rules(const Owner& owner, const std::vector<Network>& addresses,
                               const Config& config) {
  std::vector<Rule> rules;
  const auto accept = [&](const Network& network) {
    const Rule rule{.destination = match(network),
                    .matches = {xtables::Comment{comment(owner.network, owner.container_id)}},
                    .target = xtables::Accept{}};
    append_missing(rules, {rule});
  };
  for (const Network& each : addresses) accept(each);
  for (const Network& each : config.skipped) {
    if (each.family() == addresses.front().family()) accept(each);
  }
  return rules;
}

std::vector<Rule> translation_rules(const Owner& owner, Family family, const Config& config) {
  const xtables::Comment all{comment(owner.network, owner.container_id)};
  std::vector<Rule> rules;
  std::vector<std::optional<xtables::AddressMatch>> destinations;
  if (config.only.empty()) {
    destinations = {match(multicast(family), true)};
  } else {
    rules.push_back(
        {.destination = match(multicast(family)), .matches = {all}, .target = xtables::Return{}});
    for (const Network& each : config.only) {
      if (each.family() == family) destinations.push_back(match(each));
    }
  }
  for (const auto& destination : destinations) {
    Rule rule{.destination = destination, .matches = {all}, .target = translation(family, config)};
    if (config.out_interfaces.empty()) rules.push_back(rule);
    for (const std::string& name : config.out_interfaces) {
      rule.out = xtables::InterfaceMatch{.name = name};
      rules.push_back(rule);
    }
  }
  return rules;
}

Rule interface_mark(const Owner& owner, const Address& address) {
  return {.source = match(Network::host(address)),
          .matches = {xtables::Comment{mark_comment(owner)}},
          .target = xtables::Return{}};
}

void add_to(Table& table, const Owner& owner, const std::vector<Network>& addresses,
            const Config& config) {
  const std::string chain = chain_name(owner.network, owner.container_id);
  erase_jumps_of_others(table, chain, addresses);

  std::vector<Network> own;
  for (const Network& each : addresses) own.push_back(Network::host(each.address));
  // What this interface had under other addresses goes.
  std::vector<Network> earlier;
  for (const Mark& mark : marks(table, chain)) {
    if (mark.comment == mark_comment(owner)) earlier.push_back(mark.source);
  }
  if (!earlier.empty()) {
    erase_jumps(table, chain, [&](const StoredRule& stored) {
      const auto source = stored.rule ? source_of(*stored.rule) : std::nullopt;
      return source && std::ranges::find(earlier, *source) != earlier.end() &&
             std::ranges::find(own, *source) == own.end();
    });
  }

  const std::vector<Network> jumping = jump_sources(table, chain);
  const bool shared = std::ranges::any_of(
      jumping, [&](const Network& each) { return std::ranges::find(own, each) == own.end(); });

  std::vector<Rule> wanted = accept_rules(owner, addresses, config);
  std::vector<Rule> kept_marks;
  if (shared) {
    std::vector<Rule> kept;
    for (const Rule& rule : known_rules(table, chain)) {
      const auto source = source_of(rule);
      if (is_accept(rule)) kept.push_back(rule);
      if (source && std::holds_alternative<xtables::Return>(rule.target)) {
        kept_marks.push_back(rule);
      }
    }
    append_missing(wanted, kept);
    for (const Network& each : own)
      append_missing(kept_marks, {interface_mark(owner, each.address)});
  }
  append_missing(wanted, translation_rules(owner, addresses.front().family(), config));
  append_missing(wanted, kept_marks);

  table.ensure_chain(chain);
  const bool is_so = std::ranges::equal(
      table.rules(chain), wanted, [](const StoredRule& stored, const Rule& rule) {
        return stored.rule && xtables::same_meaning(*stored.rule, rule);
      });
  if (!is_so) {
    table.flush(chain);
    for (const Rule& rule : wanted) table.append(chain, rule);
  }
  for (const Network& each : own) {
    table.ensure_appended(kPostrouting, jump_rule(owner, each.address));
  }
}

void remove_from(Table& table, const Owner& owner, const std::vector<Network>& hint) {
  const std::string chain = chain_name(owner.network, owner.container_id);
  std::vector<Network> mine;
  std::vector<Network> of_others;
  for (const Mark& mark : marks(table, chain)) {
    (mark.comment == mark_comment(owner) ? mine : of_others).push_back(mark.source);
  }
  const auto is_in = [](const std::vector<Network>& networks, const Network& source) {
    return std::ranges::find(networks, source) != networks.end();
  };
  const auto is_hinted = [&](const Network& source) {
    return std::ranges::any_of(hint,
                               [&](const Network& each) { return source.contains(each.address); });
  };
  // The unmarked are those of the first interface. The reference suite marks none: there the hint
  // tells two interfaces apart, if it names one and leaves another.
  std::vector<Network> unmarked = jump_sources(table, chain);
  std::erase_if(unmarked,
                [&](const Network& each) { return is_in(mine, each) || is_in(of_others, each); });
  const bool by_hint = !hint.empty() && !std::ranges::all_of(unmarked, is_hinted);
  erase_jumps(table, chain, [&](const StoredRule& stored) {
    const auto source = stored.rule ? source_of(*stored.rule) : std::nullopt;
    if (!source) return true;
    if (is_in(of_others, *source)) return false;
    if (!mine.empty()) return is_in(mine, *source);
    return !by_hint || is_hinted(*source);
  });
}

void collect_from(Table& table, const std::string& network, const std::vector<Owner>& valid) {
  std::set<std::string> valid_comments;
  std::set<std::string> valid_marks;
  for (const Owner& each : valid) {
    valid_comments.insert(comment(each.network, each.container_id));
    valid_marks.insert(mark_comment(each));
  }
  std::map<std::string, std::vector<StoredRule>> jumps;
  for (const StoredRule& stored : table.rules(kPostrouting)) {
    if (is_chain_name(stored.jump_target)) jumps[stored.jump_target].push_back(stored);
  }
  for (const std::string& chain : table.chains()) {
    if (!is_chain_name(chain)) continue;
    const auto is_of_network = [&](const StoredRule& stored) {
      return stored.comment.starts_with(comment_prefix(network));
    };
    const auto is_stale = [&](const StoredRule& stored) {
      return is_of_network(stored) && !valid_comments.contains(stored.comment);
    };
    std::vector<Network> stale_marks;
    for (const Mark& mark : marks(table, chain)) {
      if (mark.comment.starts_with(comment_prefix(network)) &&
          !valid_marks.contains(mark.comment)) {
        stale_marks.push_back(mark.source);
      }
    }
    const auto is_collected = [&](const StoredRule& stored) {
      if (is_stale(stored)) return true;
      const auto source = stored.rule ? source_of(*stored.rule) : std::nullopt;
      return is_of_network(stored) && source &&
             std::ranges::find(stale_marks, *source) != stale_marks.end();
    };
    const bool has_stale_jump = std::ranges::any_of(jumps[chain], is_collected);
    // An ADD or DEL that was killed may have left a chain that nobody jumps to.
    const auto& rules = table.rules(chain);
    const bool is_orphan =
        table.references(chain) == 0 && !rules.empty() && std::ranges::all_of(rules, is_stale);
    if (has_stale_jump || is_orphan) erase_jumps(table, chain, is_collected);
  }
}

bool concerns(const Table& table, const std::optional<std::string>& chain) {
  return chain ? table.has_chain(*chain) : std::ranges::any_of(table.chains(), is_chain_name);
}

std::vector<std::string> differences_from(const Table& table, const Owner& owner,
                                          const std::vector<Network>& addresses,
                                          const Config& config) {
  const std::string chain = chain_name(owner.network, owner.container_id);
  std::vector<std::string> sentences;
  const auto require = [&](const std::string& in, const Rule& rule) {
    if (table.has_rule(in, rule)) return;
    sentences.push_back(fmt::format("{} rule of table nat is missing: -A {} {}",
                                    name(table.family()), in, render(rule)));
  };
  for (const Network& each : addresses) require(kPostrouting, jump_rule(owner, each.address));
  for (const Rule& rule : accept_rules(owner, addresses, config)) require(chain, rule);
  for (const Rule& rule : translation_rules(owner, addresses.front().family(), config)) {
    require(chain, rule);
  }
  return sentences;
}

}  // namespace cni::masquerade
