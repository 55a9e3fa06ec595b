#include "xtables/dialect_table.h"

#include <fmt/format.h>
#include <linux/netfilter.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <iterator>
#include <stdexcept>

#include "base/error.h"
#include "xtables/dialect_rule.h"

namespace cni::xtables {
namespace {

struct BuiltIn {
  std::string_view table;
  std::string_view chain;
  const char* type;
  std::uint32_t hook;
  std::int32_t priority;
};

// Name, type and priority as iptables-nft expects them; with others it calls the table
// incompatible.
constexpr std::array kBuiltIn = {
    BuiltIn{"nat", "PREROUTING", "nat", NF_INET_PRE_ROUTING, -100},
    BuiltIn{"nat", "INPUT", "nat", NF_INET_LOCAL_IN, 100},
    BuiltIn{"nat", "OUTPUT", "nat", NF_INET_LOCAL_OUT, -100},
    BuiltIn{"nat", "POSTROUTING", "nat", NF_INET_POST_ROUTING, 100},
    BuiltIn{"filter", "INPUT", "filter", NF_INET_LOCAL_IN, 0},
    BuiltIn{"filter", "FORWARD", "filter", NF_INET_FORWARD, 0},
    BuiltIn{"filter", "OUTPUT", "filter", NF_INET_LOCAL_OUT, 0},
};

std::optional<nftables::Hook> find_built_in(std::string_view table, std::string_view chain) {
  for (const BuiltIn& built_in : kBuiltIn) {
    if (built_in.table != table || built_in.chain != chain) continue;
    return nftables::Hook{
        .type = built_in.type, .number = built_in.hook, .priority = built_in.priority};
  }
  return std::nullopt;
}

}  // namespace

bool DialectTable::has_chain(const std::string& chain) const {
  return find_chain(chain) != nullptr;
}

std::vector<std::string> DialectTable::chains() const {
  for (const nftables::Chain& chain : socket_->list_chains(nftables::table_family(family_))) {
    if (chain.table.name == name_) take(chain);
  }
  std::vector<std::string> names;
  for (const auto& [name, chain] : chains_) {
    if (chain.present && !chain.hook) names.push_back(name);
  }
  return names;
}

const std::vector<StoredRule>& DialectTable::rules(const std::string& chain) const {
  static const std::vector<StoredRule> kNone;
  Chain* found = find_chain(chain);
  if (found == nullptr) return kNone;
  read(chain, *found);
  return found->rules;
}

// To the kernel a chain is used by its rules too.
std::size_t DialectTable::references(const std::string& chain) const {
  Chain* found = find_chain(chain);
  if (found == nullptr) return 0;
  if (found->use > 0) read(chain, *found);
  const auto more = more_references_.find(chain);
  const std::ptrdiff_t count = static_cast<std::ptrdiff_t>(found->use) -
                               static_cast<std::ptrdiff_t>(found->stored_rules) +
                               (more == more_references_.end() ? 0 : more->second);
  return static_cast<std::size_t>(std::max<std::ptrdiff_t>(count, 0));
}

bool DialectTable::drops_by_policy(const std::string& chain) const {
  const Chain* found = find_chain(chain);
  return found != nullptr && found->hook && found->hook->policy_drop;
}

void DialectTable::ensure_chain(const std::string& chain) {
  Chain& found = look_up(chain);
  // iptables-nft refuses longer names.
  if (!found.stored && chain.size() > kLongestChain) {
    throw SystemError(ENAMETOOLONG, fmt::format("make chain {} of {}", chain, text()));
  }
  if (!found.stored) found.hook = find_built_in(name_, chain);
  found.present = true;
}

void DialectTable::append(const std::string& chain, const Rule& rule) {
  put(chain, std::nullopt, rule);
}

void DialectTable::insert(const std::string& chain, std::size_t position, const Rule& rule) {
  put(chain, position, rule);
}

void DialectTable::put(const std::string& chain, std::optional<std::size_t> position,
                       const Rule& rule) {
  require_valid(rule, family_);
  if (find_built_in(name_, chain)) ensure_chain(chain);
  Chain& target = position ? read_chain(chain) : get_chain(chain);
  const std::string jump = rule.jump_target();
  if (!jump.empty() && !has_chain(jump)) {
    throw SystemError(ENOENT,
                      fmt::format("add rule '{}' to chain {} of {}, which jumps to chain {}",
                                  render(rule), chain, text(), jump));
  }
  if (position > target.rules.size()) {
    throw std::out_of_range(
        fmt::format("insert a rule at position {} of chain {}", *position, chain));
  }
  const auto offset = static_cast<std::ptrdiff_t>(position.value_or(target.rules.size()));
  target.rules.insert(std::next(target.rules.begin(), offset),
                      {.rule = rule, .jump_target = jump, .comment = rule.comment()});
  target.handles.insert(std::next(target.handles.begin(), offset), 0);
  if (!jump.empty()) ++more_references_[jump];
}

void DialectTable::erase(const std::string& chain, std::size_t position) {
  if (position >= rules(chain).size()) {
    throw std::out_of_range(
        fmt::format("erase the rule at position {} of chain {}", position, chain));
  }
  Chain& target = get_chain(chain);
  const auto offset = static_cast<std::ptrdiff_t>(position);
  if (target.handles[position] != 0) target.erased.push_back(target.handles[position]);
  const std::string& jump = target.rules[position].jump_target;
  if (!jump.empty()) --more_references_[jump];
  target.rules.erase(std::next(target.rules.begin(), offset));
  target.handles.erase(std::next(target.handles.begin(), offset));
}

void DialectTable::flush(const std::string& chain) {
  if (!has_chain(chain) && find_built_in(name_, chain)) return;  // nothing is in it
  Chain& target = read_chain(chain);
  std::ranges::copy_if(target.handles, std::back_inserter(target.erased),
                       [](std::uint64_t handle) { return handle != 0; });
  for (const StoredRule& rule : target.rules) {
    if (!rule.jump_target.empty()) --more_references_[rule.jump_target];
  }
  target.rules.clear();
  target.handles.clear();
}

void DialectTable::delete_chain(const std::string& chain) {
  if (find_built_in(name_, chain)) {
    throw SystemError(EINVAL, fmt::format("delete built-in chain {} of {}", chain, text()));
  }
  flush(chain);
  get_chain(chain).present = false;
}

bool DialectTable::changed() const {
  return std::ranges::any_of(chains_, [](const auto& entry) {
    const Chain& chain = entry.second;
    return chain.stored != chain.present || !chain.erased.empty() ||
           std::ranges::count(chain.handles, 0U) != 0;
  });
}

std::string DialectTable::text() const {
  return dialect_table_text(family_, name_);
}

nftables::Batch DialectTable::batch() const {
  nftables::Batch batch;
  const auto is_new = [](const auto& entry) {
    return entry.second.present && !entry.second.stored;
  };
  if (std::ranges::any_of(chains_, is_new)) batch.ensure_table({.id = id()});
  for (const auto& [name, chain] : chains_) {
    if (!chain.present || chain.stored) continue;
    batch.ensure_chain({.table = id(), .name = name, .hook = chain.hook});
  }
  for (const auto& [name, chain] : chains_) add_erasures(batch, name, chain);
  for (const auto& [name, chain] : chains_) add_rules(batch, name, chain);
  for (const auto& [name, chain] : chains_) {
    if (chain.stored && !chain.present) batch.delete_chain(id(), name);
  }
  return batch;
}

std::vector<nftables::Rule> DialectTable::new_rules() const {
  std::vector<nftables::Rule> rules;
  for (const auto& [name, chain] : chains_) {
    for (std::size_t i = 0; i < chain.handles.size(); ++i) {
      if (chain.handles[i] == 0) {
        rules.push_back(encode_dialect(family_, name_, name, *chain.rules[i].rule));
      }
    }
  }
  return rules;
}

bool DialectTable::makes_nat_chain() const {
  return std::ranges::any_of(chains_, [](const auto& entry) {
    const Chain& chain = entry.second;
    return !chain.stored && chain.hook && chain.hook->type == "nat";
  });
}

DialectTable::Chain& DialectTable::look_up(const std::string& name) const {
  const auto known = chains_.find(name);
  if (known != chains_.end()) return known->second;
  if (const auto found = socket_->find_chain(id(), name)) return take(*found);
  return chains_[name] = {.is_read = true};
}

DialectTable::Chain& DialectTable::take(const nftables::Chain& chain) const {
  const auto [entry, is_new] = chains_.try_emplace(chain.name);
  if (is_new) {
    entry->second = {.hook = chain.hook, .stored = true, .present = true, .use = chain.use};
  }
  return entry->second;
}

DialectTable::Chain* DialectTable::find_chain(const std::string& name) const {
  Chain& chain = look_up(name);
  return chain.present ? &chain : nullptr;
}

DialectTable::Chain& DialectTable::get_chain(const std::string& name) {
  Chain* chain = find_chain(name);
  if (chain == nullptr) {
    throw SystemError(ENOENT, fmt::format("use chain {} of {}", name, text()));
  }
  return *chain;
}

DialectTable::Chain& DialectTable::read_chain(const std::string& name) {
  Chain& chain = get_chain(name);
  read(name, chain);
  return chain;
}

void DialectTable::read(const std::string& name, Chain& chain) const {
  if (chain.is_read) return;
  std::vector<StoredRule> rules;
  std::vector<std::uint64_t> handles;
  for (const nftables::Rule& rule : socket_->list_rules(id(), name)) {
    rules.push_back(decode_dialect(family_, rule));
    handles.push_back(rule.handle);
  }
  chain.stored_rules = rules.size();
  std::ranges::move(chain.rules, std::back_inserter(rules));
  handles.resize(rules.size(), 0);
  chain.rules = std::move(rules);
  chain.handles = std::move(handles);
  chain.is_read = true;
}

nftables::TableId DialectTable::id() const {
  return {.family = nftables::table_family(family_), .name = name_};
}

void DialectTable::add_erasures(nftables::Batch& batch, const std::string& name,
                                const Chain& chain) const {
  if (!chain.stored || chain.erased.empty()) return;
  const auto kept =
      std::ranges::any_of(chain.handles, [](std::uint64_t handle) { return handle != 0; });
  if (!kept) {
    batch.flush_chain(id(), name);
    return;
  }
  for (const std::uint64_t handle : chain.erased) batch.delete_rule(id(), name, handle);
}

void DialectTable::add_rules(nftables::Batch& batch, const std::string& name,
                             const Chain& chain) const {
  // A new rule goes before the next old one, in order; without one, to the end.
  auto next = chain.handles.begin();
  for (auto handle = chain.handles.begin(); handle != chain.handles.end(); ++handle) {
    if (*handle != 0) continue;
    if (next <= handle) {
      next =
          std::find_if(handle, chain.handles.end(), [](std::uint64_t other) { return other != 0; });
    }
    const StoredRule& stored =
        chain.rules[static_cast<std::size_t>(std::distance(chain.handles.begin(), handle))];
    const nftables::Rule rule = encode_dialect(family_, name_, name, *stored.rule);
    if (next == chain.handles.end()) {
      batch.append_rule(rule);
    } else {
      batch.insert_rule_before(rule, *next);
    }
  }
}

std::string dialect_table_text(inet::Family family, const std::string& name) {
  return fmt::format("table \"{} {}\" of iptables", family == inet::Family::kIpv4 ? "ip" : "ip6",
                     name);
}

}  // namespace cni::xtables
