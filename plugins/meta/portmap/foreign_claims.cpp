#include "foreign_claims.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/error.h"
#include "base/text.h"
#include "chain_names.h"
#include "foreign_chains.h"
#include "reference_hostports.h"

namespace cni::portmap {
namespace {

using inet::Family;
using netfilter::StoreChoice;

[[noreturn]] void refuse(const Run& run, const std::string& network,
                         const std::string& container_id) {
  std::string holder = container_id.empty() ? "another container" : "container " + container_id;
  if (!network.empty()) holder += fmt::format(" (network {})", in_quotes(network));
  throw Busy(fmt::format("host port {} is in use by {}", run.text(), holder));
}

}  // namespace

void ForeignClaims::look(Books& books, const FamilyPlan& plan, const Holding& wanted) {
  const PortIndex index(wanted.runs);
  if (books.socket()) look_at_tables(books, plan.family, index);
  look_at_chains(books, plan, wanted, index);
}

void ForeignClaims::add_edits(ChainEdits& edits) const {
  for (const Loss& loss : losses_) {
    edits.add(loss.store, loss.family, loss.holder.chain, [loss](xtables::Table& nat) {
      if (loss.ports.empty()) {
        remove_chain(nat, loss.holder.chain);
      } else {
        take_ports(nat, loss.holder.chain, std::nullopt, loss.ports);
      }
    });
  }
}

void ForeignClaims::delete_rules(nftables::Socket& socket,
                                 std::vector<nftables::Rule>& deleted) const {
  for (const auto& [family, holder] : doomed_) {
    for (auto& rule : delete_reference_rules(socket, family, holder.container_id, holder.address)) {
      deleted.push_back(std::move(rule));
    }
  }
}

ForeignClaims::Judgement ForeignClaims::judge(const PortIndex& wanted, const Claim& claim) {
  std::vector<Run> in_the_way;
  for (const Run& run : claim.runs) {
    for (const Run& part : wanted.colliding(run)) in_the_way.push_back(part);
  }
  if (in_the_way.empty()) return Judgement::kNotInTheWay;
  if (!claim.address || !liveness_.is_alive(*claim.address)) return Judgement::kLosesAll;
  if (config_.conflict_policy == ConflictPolicy::kError) {
    refuse(in_the_way.front(), claim.network, claim.container_id);
  }
  return config_.conflict_policy == ConflictPolicy::kReplace ? Judgement::kLosesPorts
                                                             : Judgement::kKeepsAll;
}

void ForeignClaims::look_at_tables(Books& books, Family family, const PortIndex& wanted) {
  for (const ReferenceHolder& holder : reference_holders(*books.socket(), family)) {
    if (holder.container_id == owner_.container_id) continue;
    const Judgement judgement = judge(wanted, {.runs = holder.runs,
                                               .network = {},
                                               .container_id = holder.container_id,
                                               .address = holder.address});
    if (judgement != Judgement::kLosesPorts && judgement != Judgement::kLosesAll) continue;
    doomed_.emplace_back(family, holder);
  }
}

void ForeignClaims::look_at_chains(Books& books, const FamilyPlan& plan, const Holding& wanted,
                                   const PortIndex& index) {
  const std::string own_chain = container_chain(owner_.network, owner_.container_id);
  const auto may_be_in_the_way = [&](const ChainHolder& holder) {
    if (holder.chain == own_chain || holder.container_id == owner_.container_id) return false;
    return !holder.let_in || std::ranges::any_of(*holder.let_in, [&](const Run& run) {
      return !index.colliding(run).empty();
    });
  };
  for (const auto& store : books.stores()) {
    const StoreChoice choice = choice_of(*store);
    for (const ChainHolder& holder :
         foreign_chains(*store, plan.family, plan.before, may_be_in_the_way)) {
      const Judgement judgement = judge(index, {.runs = holder.runs,
                                                .network = holder.network,
                                                .container_id = holder.container_id,
                                                .address = holder.address});
      if (judgement != Judgement::kLosesPorts && judgement != Judgement::kLosesAll) continue;
      losses_.push_back(
          {.store = choice,
           .family = plan.family,
           .holder = holder,
           .ports = judgement == Judgement::kLosesAll ? std::vector<Run>() : wanted.runs});
    }
  }
}

}  // namespace cni::portmap
