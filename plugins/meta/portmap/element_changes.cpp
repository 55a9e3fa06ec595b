#include "element_changes.h"

#include <algorithm>
#include <set>
#include <span>

#include "native_elements.h"
#include "netfilter/element_owner.h"

namespace cni::portmap {
namespace {

using nftables::Bytes;
using nftables::Element;
using nftables::Set;

// Those of `wanted` that are not there yet, marked; what is there as it should be goes out of
// `present`.
std::vector<Element> take_missing(const std::vector<Element>& wanted, const netfilter::Owner& owner,
                                  std::map<Bytes, Element>& present) {
  const Bytes mark = netfilter::owner_mark(owner);
  std::vector<Element> missing;
  for (const Element& one : wanted) {
    const auto found = present.find(one.key);
    if (found != present.end() && same_effect(found->second, one) &&
        netfilter::is_owned_by(found->second, owner)) {
      present.erase(found);
      continue;
    }
    missing.emplace_back(one).user_data = mark;
  }
  return missing;
}

void count_references(const std::vector<Element>& elements,
                      std::map<std::string, std::uint32_t>& counts) {
  for (const Element& element : elements) {
    if (element.verdict) ++counts[element.verdict->chain];
  }
}

}  // namespace

bool is_native(const std::optional<Holding>& holding) {
  return holding && holding->store == netfilter::StoreChoice::kNative;
}

bool same_effect(const Element& one, const Element& other) {
  return one.key == other.key && one.key_end == other.key_end && one.value == other.value &&
         one.verdict == other.verdict;
}

bool meet(const Set& set, const Element& one, const Element& other) {
  const auto end = [](const Element& element) -> const Bytes& {
    return element.key_end.empty() ? element.key : element.key_end;
  };
  std::size_t at = 0;
  for (const std::uint32_t length : set.field_lengths) {
    const auto field = [&](const Bytes& key) { return std::span(key).subspan(at, length); };
    const auto less = [](std::span<const std::byte> left, std::span<const std::byte> right) {
      return std::ranges::lexicographical_compare(left, right);
    };
    if (less(field(end(one)), field(other.key)) || less(field(end(other)), field(one.key))) {
      return false;
    }
    at += (std::size_t{length} + 3) / 4 * 4;
  }
  return true;
}

std::vector<Bytes> keys_of(const std::vector<Element>& elements) {
  std::vector<Bytes> keys;
  for (const Element& element : elements) keys.push_back(element.key);
  return keys;
}

void ElementChanges::plan(const Change& change) {
  const auto& [before, after] = change;
  const auto old = before ? elements_of(*before) : std::vector<SetElements>();
  const auto now = after ? elements_of(*after) : std::vector<SetElements>();
  const auto& either = now.empty() ? old : now;
  sets_.resize(std::max(sets_.size(), either.size()));
  for (std::size_t at = 0; at < either.size(); ++at) {
    OfSet& of_set = sets_[at];
    of_set.set = either[at].set;
    std::map<Bytes, Element> present;
    const auto add_present = [&](std::vector<Element> elements) {
      for (Element& element : elements) {
        Bytes key = element.key;
        present.emplace(std::move(key), std::move(element));
      }
    };
    if (!old.empty()) {
      add_present(table_.find_owned(of_set.set, keys_of(old[at].elements), before->owner));
    }
    if (!now.empty()) {
      add_present(find_in_the_way(of_set.set, now[at].elements));
      for (Element& gain : take_missing(now[at].elements, after->owner, present)) {
        of_set.gains.push_back(std::move(gain));
      }
    }
    of_set.losses.merge(present);
  }
}

std::vector<Element> ElementChanges::find_in_the_way(const Set& set,
                                                     const std::vector<Element>& wanted) {
  if (wanted.empty()) return {};
  if (!set.interval) return socket_.find_elements(set, keys_of(wanted));
  std::vector<Element> there = socket_.list_elements(set);
  std::erase_if(there, [&](const Element& element) {
    return std::ranges::none_of(wanted,
                                [&](const Element& one) { return meet(set, one, element); });
  });
  return there;
}

void ElementChanges::add_to(nftables::Batch& batch) {
  for (const OfSet& of_set : sets_) {
    std::vector<Element> losses;
    for (const auto& [key, element] : of_set.losses) losses.push_back(element);
    if (!losses.empty()) batch.delete_elements(of_set.set, losses);
    count_references(losses, dropped_);
    count_references(of_set.gains, taken_up_);
  }
  for (const OfSet& of_set : sets_) {
    if (!of_set.gains.empty()) batch.add_elements(of_set.set, of_set.gains);
  }
}

}  // namespace cni::portmap
