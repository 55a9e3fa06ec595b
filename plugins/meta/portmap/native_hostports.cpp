#include "native_hostports.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <set>

#include "native_layout.h"

namespace cni::portmap {
namespace {

using netfilter::StoreChoice;
using nftables::Bytes;
using nftables::Element;
using nftables::Set;

bool is_native(const std::optional<Holding>& holding) {
  return holding && holding->store == StoreChoice::kNative;
}

// Whatever their marks say.
bool same_effect(const Element& one, const Element& other) {
  return one.key == other.key && one.key_end == other.key_end && one.value == other.value &&
         one.verdict == other.verdict;
}

// Both are of an interval set of keys with several fields: in every field, of 4 bytes or more in
// network order, the intervals meet. Fields are compared together, byte by byte from the left, only
// if they are one; so this looks at each.
bool meet(const Set& set, const Element& one, const Element& other) {
  std::size_t at = 0;
  for (const std::uint32_t length : set.field_lengths) {
    const auto field = [&](const Bytes& key) { return std::span(key).subspan(at, length); };
    const auto less = [](std::span<const std::byte> left, std::span<const std::byte> right) {
      return std::ranges::lexicographical_compare(left, right);
    };
    if (less(field(one.key_end), field(other.key)) || less(field(other.key_end), field(one.key))) {
      return false;
    }
    at += (std::size_t{length} + 3) / 4 * 4;
  }
  return true;
}

// The elements that one set has to lose and to get.
struct SetChange {
  Set set;
  std::map<Bytes, Element> losses;
  std::vector<Element> gains;
};

std::vector<Bytes> keys_of(const std::vector<Element>& elements) {
  std::vector<Bytes> keys;
  for (const Element& element : elements) keys.push_back(element.key);
  return keys;
}

// References to chains, by chain.
std::map<std::string, std::uint32_t> references(const std::vector<Element>& elements) {
  std::map<std::string, std::uint32_t> counts;
  for (const Element& element : elements) {
    if (element.verdict) ++counts[element.verdict->chain];
  }
  return counts;
}

}  // namespace

NativeHostports::NativeHostports(nftables::Socket& socket, inet::Family family)
    : socket_(socket), family_(family), table_(socket, hostports_table(family)) {}

std::vector<Holding> NativeHostports::list() {
  std::vector<Holding> holdings;
  for (const netfilter::Record& record : table_.list_records()) {
    if (auto holding = parse_holding(record)) holdings.push_back(std::move(*holding));
  }
  return holdings;
}

std::optional<Holding> NativeHostports::find(const netfilter::Owner& owner) {
  const auto record = table_.find_record(owner);
  return record ? parse_holding(*record) : std::nullopt;
}

void NativeHostports::apply(nftables::Batch& batch, const std::vector<Change>& changes) {
  if (changes.empty()) return;
  // The frame, and the chains that are shared.
  netfilter::Layout layout;
  bool adds = false;
  bool adds_rules = false;
  bool guard = false;
  std::map<std::string, SharedChain> shared;
  for (const auto& [before, after] : changes) {
    adds = adds || after;
    adds_rules = adds_rules || is_native(after);
    guard = guard || (after && after->localnet);
    if (!is_native(after)) continue;
    for (SharedChain& chain : shared_chains(*after)) shared.emplace(chain.name(), chain);
  }
  if (adds_rules) {
    layout = hostports_layout(family_, guard);
  } else if (guard) {
    layout = guard_layout();
  }
  std::vector<SharedChain::Filled> to_fill;
  for (const auto& [name, chain] : shared) {
    layout.chains.push_back(chain.content);
    for (const SharedChain::Filled& filled : chain.sets) {
      layout.sets.push_back(filled.set);
      if (!socket_.has_set(filled.set.table, filled.set.name)) to_fill.push_back(filled);
    }
  }
  if (adds) table_.ensure(batch, layout);
  for (const SharedChain::Filled& filled : to_fill) {
    batch.add_elements(filled.set, filled.elements);
  }

  // The elements: of each set, what it has in the places that matter, and what it should have.
  std::vector<SetChange> set_changes;
  for (const auto& [before, after] : changes) {
    const auto old = is_native(before) ? elements_of(*before) : std::vector<SetElements>();
    const auto now = is_native(after) ? elements_of(*after) : std::vector<SetElements>();
    const auto& either = now.empty() ? old : now;
    set_changes.resize(std::max(set_changes.size(), either.size()));
    for (std::size_t at = 0; at < either.size(); ++at) {
      SetChange& change = set_changes[at];
      change.set = either[at].set;
      std::vector<Element> there;
      if (!old.empty()) {
        there = table_.find_owned(change.set, keys_of(old[at].elements), before->owner);
      }
      const auto owned = there;
      if (!now.empty() && change.set.interval) {
        for (const Element& element : socket_.list_elements(change.set)) {
          const bool in_the_way = std::ranges::any_of(now[at].elements, [&](const Element& wanted) {
            return meet(change.set, wanted, element);
          });
          if (in_the_way) there.push_back(element);
        }
      } else if (!now.empty()) {
        const auto others = socket_.find_elements(change.set, keys_of(now[at].elements));
        there.insert(there.end(), others.begin(), others.end());
      }
      std::map<Bytes, const Element*> present;
      for (const Element& element : there) present.emplace(element.key, &element);
      std::set<Bytes> stay;
      if (!now.empty()) {
        const Bytes mark = netfilter::owner_mark(after->owner);
        for (const Element& wanted : now[at].elements) {
          const auto found = present.find(wanted.key);
          if (found != present.end() && same_effect(*found->second, wanted) &&
              netfilter::is_owned_by(*found->second, after->owner)) {
            stay.insert(wanted.key);
            continue;
          }
          Element gain = wanted;
          gain.user_data = mark;
          change.gains.push_back(std::move(gain));
        }
      }
      for (const auto& [key, element] : present) {
        if (!stay.contains(key)) change.losses.emplace(key, *element);
      }
    }
  }
  std::map<std::string, std::uint32_t> dropped;
  std::map<std::string, std::uint32_t> taken_up;
  for (const SetChange& change : set_changes) {
    std::vector<Element> losses;
    for (const auto& [key, element] : change.losses) losses.push_back(element);
    if (!losses.empty()) batch.delete_elements(change.set, losses);
    for (const auto& [chain, count] : references(losses)) dropped[chain] += count;
    for (const auto& [chain, count] : references(change.gains)) taken_up[chain] += count;
  }
  for (const SetChange& change : set_changes) {
    if (!change.gains.empty()) batch.add_elements(change.set, change.gains);
  }
  for (const auto& [before, after] : changes) {
    if (!is_native(before)) continue;
    for (const SharedChain& chain : shared_chains(*before)) {
      if (!dropped.contains(chain.name()) || taken_up.contains(chain.name())) continue;
      std::vector<std::string> sets;
      for (const SharedChain::Filled& filled : chain.sets) sets.push_back(filled.set.name);
      table_.delete_shared_chain_unless_used(batch, chain.name(), dropped.at(chain.name()), sets);
      dropped.erase(chain.name());
    }
  }

  for (const auto& [before, after] : changes) {
    if (after) {
      table_.put_record(batch, {.owner = after->owner, .content = render(*after)});
    } else {
      table_.delete_record(batch, before->owner);
    }
  }
}

std::vector<std::string> NativeHostports::differences(const Holding& holding) {
  const bool native = holding.store == StoreChoice::kNative;
  netfilter::Layout layout = native             ? hostports_layout(family_, bool(holding.localnet))
                             : holding.localnet ? guard_layout()
                                                : netfilter::Layout{};
  if (!native) return table_.differences(layout);
  std::vector<SharedChain::Filled> filled;
  for (const SharedChain& chain : shared_chains(holding)) {
    layout.chains.push_back(chain.content);
    for (const SharedChain::Filled& set : chain.sets) {
      layout.sets.push_back(set.set);
      filled.push_back(set);
    }
  }
  std::vector<std::string> found = table_.differences(layout);
  const std::string table = hostports_table(family_).name;
  for (const SharedChain::Filled& one : filled) {
    auto there = socket_.list_elements(one.set);
    auto wanted = one.elements;
    std::ranges::sort(there, {}, &Element::key);
    std::ranges::sort(wanted, {}, &Element::key);
    if (!std::ranges::equal(there, wanted, [](const Element& left, const Element& right) {
          return left.key == right.key && left.interval_end == right.interval_end;
        })) {
      found.push_back(fmt::format("set \"{}\" of the nf_tables table {} has other addresses",
                                  one.set.name, table));
    }
  }
  for (const SetElements& wanted : elements_of(holding)) {
    const auto there = table_.find_owned(wanted.set, keys_of(wanted.elements), holding.owner);
    std::map<Bytes, const Element*> present;
    for (const Element& element : there) present.emplace(element.key, &element);
    const auto missing = std::ranges::count_if(wanted.elements, [&](const Element& element) {
      const auto at = present.find(element.key);
      return at == present.end() || !same_effect(*at->second, element);
    });
    if (missing == 0) continue;
    found.push_back(
        fmt::format("{} of {} elements of the container in \"{}\" of the nf_tables "
                    "table {} ({}) are missing or different",
                    missing, wanted.elements.size(), wanted.set.name, table, inet::name(family_)));
  }
  return found;
}

}  // namespace cni::portmap
