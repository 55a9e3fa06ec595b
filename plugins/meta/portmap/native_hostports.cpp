#include "native_hostports.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <map>
#include <set>

#include "element_changes.h"
#include "native_elements.h"
#include "native_layout.h"
#include "native_sets.h"
#include "native_shared_chains.h"
#include "netfilter/element_owner.h"

namespace cni::portmap {
namespace {

using nftables::Bytes;
using nftables::Element;

// The chains and sets that elements of these holdings need.
struct Frame {
  netfilter::Layout layout;
  std::vector<SharedChain::Filled> filled;  // sets of the layout whose elements nobody owns
};

void add_shared_chains(Frame& frame, const Holding& holding) {
  for (const SharedChain& chain : shared_chains(holding)) {
    const bool known = std::ranges::any_of(
        frame.layout.chains,
        [&](const netfilter::ChainContent& one) { return one.chain.name == chain.name(); });
    if (known) continue;
    frame.layout.chains.push_back(chain.content);
    for (const SharedChain::Filled& filled : chain.sets) {
      frame.layout.sets.push_back(filled.set);
      frame.filled.push_back(filled);
    }
  }
}

Frame frame_of(inet::Family family, const std::vector<Holding>& holdings) {
  const bool native =
      std::ranges::any_of(holdings, [](const Holding& one) { return is_native(one); });
  const bool guard =
      std::ranges::any_of(holdings, [](const Holding& one) { return one.localnet.has_value(); });
  const bool in_chains =
      std::ranges::any_of(holdings, [](const Holding& one) { return !is_native(one); });
  Frame frame;
  if (native) frame.layout = hostports_layout(family, guard);
  if (in_chains) {
    netfilter::Layout more = chains_layout(family, guard && !native);
    std::ranges::move(more.sets, std::back_inserter(frame.layout.sets));
    std::ranges::move(more.chains, std::back_inserter(frame.layout.chains));
  }
  frame.layout.sets.push_back(unmapped_set(family));
  for (const Holding& one : holdings) {
    add_shared_chains(frame, one);
  }
  return frame;
}

std::vector<Element> find_competing(nftables::Socket& socket, const Competition& competition) {
  const nftables::Set& set = competition.set;
  if (competition.keys) return socket.find_elements(set, *competition.keys);
  std::vector<Element> there = socket.list_elements(set);
  std::erase_if(there, [&](const Element& element) {
    return std::ranges::none_of(competition.intervals, [&](const Element& interval) {
      return meet(set, interval, element);
    });
  });
  return there;
}

bool has_exactly(std::vector<Element> there, std::vector<Element> wanted) {
  std::ranges::sort(there, {}, &Element::key);
  std::ranges::sort(wanted, {}, &Element::key);
  return std::ranges::equal(there, wanted, [](const Element& left, const Element& right) {
    return left.key == right.key && left.interval_end == right.interval_end;
  });
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

std::vector<Holding> NativeHostports::list_concerned(const std::vector<netfilter::Owner>& owners,
                                                     std::vector<Run> runs) {
  std::vector<Holding> found;
  const auto add = [&](const netfilter::Record& record) {
    auto holding = parse_holding(record);
    if (!holding || find_holding(found, holding->owner) != nullptr) return;
    found.push_back(std::move(*holding));
  };
  for (const netfilter::Owner& owner : owners) {
    if (const auto record = table_.find_record(owner)) add(*record);
  }
  for (const auto& record : table_.records_of(socket_.list_elements(unmapped_set(family_)))) {
    add(record);
  }
  // Who waits gets his ports when nobody has them any more.
  for (const Holding& one : found) {
    runs.insert(runs.end(), one.waiting.begin(), one.waiting.end());
  }
  if (runs.empty()) return found;
  for (const Kept kept : {Kept::kHere, Kept::kInChains}) {
    const auto sets = competition(family_, runs, kept);
    // On most hosts nobody has his rules in another store. The sets for that are made together.
    if (kept == Kept::kInChains &&
        !socket_.has_set(sets.front().set.table, sets.front().set.name)) {
      continue;
    }
    for (const Competition& one : sets) {
      for (const auto& record : table_.records_of(find_competing(socket_, one))) add(record);
    }
  }
  return found;
}

std::size_t NativeHostports::count_localnet(const Localnet& localnet,
                                            const std::vector<netfilter::Owner>& but) {
  const std::string chain = localnet_chain(localnet);
  std::size_t count = table_.count_references(chain).value_or(0);
  for (const netfilter::Owner& owner : but) {
    if (count == 0) break;
    for (const Element& own :
         table_.find_owned(localnet_set(), {{netfilter::attachment_key(owner)}}, owner)) {
      if (own.verdict && own.verdict->chain == chain) --count;
    }
  }
  return count;
}

void NativeHostports::apply(nftables::Batch& batch, const std::vector<Change>& changes) {
  if (changes.empty()) return;
  ensure_frame(batch, changes);
  ElementChanges elements(socket_, table_);
  for (const Change& change : changes) elements.plan(change);
  elements.add_to(batch);
  delete_unused_chains(batch, changes, elements);
  for (const auto& [before, after] : changes) {
    if (after) {
      table_.put_record(batch, {.owner = after->owner, .content = render(*after)});
    } else {
      table_.delete_record(batch, before->owner);
    }
  }
}

void NativeHostports::ensure_frame(nftables::Batch& batch, const std::vector<Change>& changes) {
  std::vector<Holding> wanted;
  for (const Change& change : changes) {
    if (change.after) wanted.push_back(*change.after);
  }
  if (wanted.empty()) return;
  const Frame frame = frame_of(family_, wanted);
  std::vector<SharedChain::Filled> to_fill;
  for (const SharedChain::Filled& filled : frame.filled) {
    if (!socket_.has_set(filled.set.table, filled.set.name)) to_fill.push_back(filled);
  }
  table_.ensure(batch, frame.layout);
  for (const SharedChain::Filled& filled : to_fill) {
    batch.add_elements(filled.set, filled.elements);
  }
}

void NativeHostports::delete_unused_chains(nftables::Batch& batch,
                                           const std::vector<Change>& changes,
                                           const ElementChanges& elements) {
  std::set<std::string> done;
  for (const Change& change : changes) {
    if (!change.before) continue;
    for (const SharedChain& chain : shared_chains(*change.before)) {
      const auto dropped = elements.dropped().find(chain.name());
      if (dropped == elements.dropped().end() || elements.taken_up().contains(chain.name()) ||
          !done.insert(chain.name()).second) {
        continue;
      }
      std::vector<std::string> sets;
      for (const SharedChain::Filled& filled : chain.sets) sets.push_back(filled.set.name);
      table_.delete_shared_chain_unless_used(batch, chain.name(), dropped->second, sets);
    }
  }
}

std::vector<std::string> NativeHostports::differences(const Holding& holding) {
  const Frame frame = frame_of(family_, {holding});
  std::vector<std::string> found = table_.differences(frame.layout);
  const std::string table = hostports_table(family_).name;
  for (const SharedChain::Filled& one : frame.filled) {
    if (has_exactly(socket_.list_elements(one.set), one.elements)) continue;
    found.push_back(fmt::format("set \"{}\" of the nf_tables table {} has other addresses",
                                one.set.name, table));
  }
  for (const SetElements& wanted : elements_of(holding)) {
    const std::size_t missing = count_missing(wanted, holding.owner);
    if (missing == 0) continue;
    found.push_back(
        fmt::format("{} of {} elements of the container in \"{}\" of the nf_tables "
                    "table {} ({}) are missing or different",
                    missing, wanted.elements.size(), wanted.set.name, table, inet::name(family_)));
  }
  return found;
}

std::size_t NativeHostports::count_missing(const SetElements& wanted,
                                           const netfilter::Owner& owner) {
  const auto there = table_.find_owned(wanted.set, keys_of(wanted.elements), owner);
  std::map<Bytes, const Element*> present;
  for (const Element& element : there) present.emplace(element.key, &element);
  return static_cast<std::size_t>(
      std::ranges::count_if(wanted.elements, [&](const Element& element) {
        const auto at = present.find(element.key);
        return at == present.end() || !same_effect(*at->second, element);
      }));
}

}  // namespace cni::portmap
