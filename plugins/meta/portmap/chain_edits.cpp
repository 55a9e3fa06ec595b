#include "chain_edits.h"

#include <algorithm>
#include <iterator>

#include "chain_names.h"
#include "claims.h"
#include "xtables_hostports.h"

namespace cni::portmap {
namespace {

using inet::Family;
using netfilter::same_attachment;
using netfilter::StoreChoice;
using xtables::Rule;
using xtables::StoredRule;

// Nothing if there is none. Rules that this code has no words for are left out.
std::optional<ChainImage> take_image(const xtables::Table& nat, const std::string& chain) {
  if (!nat.has_chain(chain)) return std::nullopt;
  ChainImage image{.chain = chain};
  // What is in the chain that leads to containers' chains belongs to these.
  if (chain != kEntryChain) {
    for (const StoredRule& stored : nat.rules(chain)) {
      if (stored.rule) image.rules.push_back(*stored.rule);
    }
  }
  if (chain == kMasqueradeChain) {
    // POSTROUTING has jumps of all containers: it is not read for one that is known.
    if (nat.references(chain) > 0) {
      image.jumps.push_back({.from = "POSTROUTING", .position = 0, .rule = masquerade_jump()});
    }
    return image;
  }
  for (const std::string& origin : origins_of(chain)) {
    const auto& rules = nat.rules(origin);
    for (std::size_t at = 0; at < rules.size(); ++at) {
      if (!rules[at].rule || rules[at].jump_target != chain) continue;
      image.jumps.push_back({.from = origin, .position = at, .rule = *rules[at].rule});
    }
  }
  return image;
}

bool same_content(const std::optional<ChainImage>& one, const std::optional<ChainImage>& other) {
  if (!one || !other) return !one && !other;
  return one->rules == other->rules &&
         std::ranges::equal(one->jumps, other->jumps, {}, &ChainImage::Jump::rule,
                            &ChainImage::Jump::rule);
}

void put_image(xtables::Table& nat, const ChainImage& image) {
  const std::string& chain = image.chain;
  nat.ensure_chain(chain);
  const auto now = take_image(nat, chain);
  if (!now || now->rules != image.rules) {
    nat.flush(chain);
    for (const Rule& rule : image.rules) nat.append(chain, rule);
  }
  for (const std::string& origin : origins_of(chain)) {
    nat.erase_if(origin, [&](const StoredRule& stored) { return stored.jump_target == chain; });
  }
  for (const ChainImage::Jump& jump : image.jumps) {
    nat.insert(jump.from, std::min(jump.position, nat.rules(jump.from).size()), jump.rule);
  }
}

}  // namespace

void ChainEdits::add(StoreChoice store, Family family, const std::string& chain, Edit edit) {
  auto table = std::ranges::find_if(
      tables_, [&](const Table& one) { return one.store == store && one.family == family; });
  if (table == tables_.end()) {
    tables_.push_back({.store = store, .family = family, .chains = {}});
    table = std::prev(tables_.end());
  }
  table->chains.push_back({.name = chain, .edit = std::move(edit)});
}

bool ChainEdits::concern(StoreChoice store, Family family) const {
  return std::ranges::any_of(
      tables_, [&](const Table& one) { return one.store == store && one.family == family; });
}

void ChainEdits::add_losses(const std::vector<FamilyPlan>& plans) {
  for (const FamilyPlan& plan : plans) {
    for (const auto& [before, after] : changes(plan.before, plan.after)) {
      if (!before || before->chain.empty()) continue;
      const std::string& chain = before->chain;
      if (!after || after->chain != chain || after->store != before->store) {
        add(before->store, plan.family, chain,
            [chain, others = other_shares(plans, plan.family, before->store, chain, before->owner)](
                xtables::Table& nat) { remove_rules(nat, chain, others); });
      } else if (auto lost = without(before->runs, after->runs); !lost.empty()) {
        add(before->store, plan.family, chain,
            [chain, lost = std::move(lost), address = before->address.address](
                xtables::Table& nat) { take_ports(nat, chain, address, lost); });
      }
    }
  }
}

void ChainEdits::add_way_back(const std::vector<ChangedChain>& changed,
                              const std::vector<FamilyPlan>& plans, const netfilter::Owner& owner) {
  for (const ChangedChain& one : changed) {
    const std::string& chain = one.chain;
    if (one.before) {
      add(one.store, one.family, chain, [one](xtables::Table& nat) {
        if (same_content(take_image(nat, one.chain), one.after)) put_image(nat, *one.before);
      });
    } else if (std::ranges::find(kSharedChains, chain) == kSharedChains.end()) {
      add(one.store, one.family, chain,
          [chain, others = other_shares(plans, one.family, one.store, chain, owner)](
              xtables::Table& nat) { remove_rules(nat, chain, others); });
    }
  }
}

void ChainEdits::apply(std::vector<ChangedChain>* changed) const {
  for (const Table& table : tables_) {
    std::vector<std::string> names(kSharedChains.begin(), kSharedChains.end());
    for (const Chain& chain : table.chains) {
      if (std::ranges::find(names, chain.name) == names.end()) names.push_back(chain.name);
    }
    std::vector<ChangedChain> done;
    netfilter::open_xtables_store(table.store)
        ->change(table.family, "nat", [&](xtables::Table& nat) {
          done.clear();
          for (const std::string& name : names) {
            done.push_back({.store = table.store,
                            .family = table.family,
                            .chain = name,
                            .before = changed == nullptr ? std::nullopt : take_image(nat, name),
                            .after = std::nullopt});
          }
          for (const Chain& chain : table.chains) chain.edit(nat);
          if (changed == nullptr) return;
          for (ChangedChain& one : done) {
            if (one.before) {
              one.after = take_image(nat, one.chain);
            } else if (nat.has_chain(one.chain)) {
              one.after = ChainImage{.chain = one.chain};  // its content is of no use
            }
          }
        });
    if (changed == nullptr) continue;
    std::erase_if(done,
                  [](const ChangedChain& one) { return same_content(one.before, one.after); });
    std::ranges::move(done, std::back_inserter(*changed));
  }
}

std::vector<ChainShare> other_shares(const std::vector<FamilyPlan>& plans, Family family,
                                     StoreChoice store, const std::string& chain,
                                     const netfilter::Owner& owner) {
  std::vector<ChainShare> shares;
  const auto has_share = [&](const Holding& one) {
    return one.chain == chain && one.store == store && !same_attachment(one.owner, owner);
  };
  for (const FamilyPlan& plan : plans) {
    if (plan.family != family) continue;
    for (const Holding& one : plan.after) {
      if (!has_share(one)) continue;
      shares.push_back({.address = one.address.address});
      // The rules of both families let the ports of both in.
      for (const FamilyPlan& either : plans) {
        const Holding* holding = find_holding(either.after, one.owner);
        if (holding == nullptr) continue;
        for (const auto* runs : {&holding->runs, &holding->waiting}) {
          shares.back().runs.insert(shares.back().runs.end(), runs->begin(), runs->end());
        }
      }
    }
  }
  return shares;
}

}  // namespace cni::portmap
