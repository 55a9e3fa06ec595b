#include "withdraw.h"

#include <algorithm>
#include <vector>

#include "books.h"
#include "chain_edits.h"
#include "chain_names.h"
#include "claims.h"
#include "flows.h"
#include "foreign_chains.h"
#include "localnet_upkeep.h"
#include "reference_hostports.h"

namespace cni::portmap {
namespace {

using inet::Family;
using netfilter::StoreChoice;

// Flows to a container, to be forgotten once nothing leads there any more.
struct Forwarded {
  Family family;
  std::vector<Run> runs;
  std::optional<inet::Address> container;
};

class Withdrawal {
 public:
  explicit Withdrawal(const Selection& selection) : selection_(selection) {}

  void read() {
    books_.emplace(Books::Use::kLook);
    for (const Family family : kFamilies) {
      FamilyPlan plan{.family = family,
                      .before = selection_.attachment
                                    ? books_->list_concerned(family, {*selection_.attachment}, {})
                                    : books_->list(family),
                      .after = {}};
      plan.after = without(plan.before, selection_.holding);
      for (const Holding& one : plan.before) {
        if (!selection_.holding(one)) continue;
        forwarded_.push_back({family, one.runs, one.address.address});
      }
      plans_.push_back(std::move(plan));
    }
  }

  void remove_chains() {
    ChainEdits edits;
    edits.add_losses(plans_);
    for (const auto& store : books_->stores()) {
      const StoreChoice choice = choice_of(*store);
      for (const FamilyPlan& plan : plans_) {
        // A table that loses something anyway is read once, when it does.
        if (!edits.concern(choice, plan.family) && !has_foreign_chains(*store, plan)) continue;
        edits.add(choice, plan.family, kEntryChain, [this, choice, &plan](xtables::Table& nat) {
          remove_foreign_chains(nat, choice, plan);
        });
      }
    }
    edits.apply();
  }

  void remove_reference_rules() {
    if (selection_.reference_id.empty() || !books_->socket()) return;
    for (const Family family : kFamilies) {
      const auto& address =
          family == Family::kIpv4 ? selection_.reference_v4 : selection_.reference_v6;
      for (const auto& rule : reference_rules(*books_->socket(), family, selection_.reference_id)) {
        if (!rule.run || rule.addresses.empty()) continue;
        forwarded_.push_back({family, {*rule.run}, rule.addresses.back()});
      }
      delete_reference_rules(*books_->socket(), family, selection_.reference_id, address);
    }
  }

  void settle() {
    settle_localnet(plans_.front(), *books_);
    if (selection_.attachment) {
      settle_lost_localnet(plans_.front(), *books_);
    } else {
      settle_marked_localnet(plans_.front(), *books_);
    }
    settle_guards(*books_);
  }

  void write_down(Leftovers left) {
    for (FamilyPlan& plan : plans_) plan.after = ended(plan.before, selection_.holding, left);
    books_->commit(plans_, "remove the host ports");
  }

  // Needs no lock.
  void forget_flows() {
    books_.reset();
    for (const Forwarded& one : forwarded_) {
      portmap::forget_flows(one.family, one.runs, one.container);
    }
  }

 private:
  bool has_foreign_chains(xtables::Store& store, const FamilyPlan& plan) const {
    return std::ranges::any_of(foreign_chains(store, plan.family, plan.before, selection_.may_be),
                               selection_.chain);
  }

  void remove_foreign_chains(xtables::Table& nat, StoreChoice store, const FamilyPlan& plan) {
    for (const ChainHolder& holder : foreign_chains(nat, store, plan.before, selection_.may_be)) {
      if (!selection_.chain(holder)) continue;
      // Once more if the commit has to be tried again, which does no harm.
      forwarded_.push_back({plan.family, holder.runs, holder.address});
      remove_chain(nat, holder.chain);
    }
  }

  const Selection& selection_;
  std::optional<Books> books_;
  std::vector<FamilyPlan> plans_;
  std::vector<Forwarded> forwarded_;
};

}  // namespace

void withdraw(const Selection& selection, BestEffort& cleanup) {
  Withdrawal withdrawal(selection);
  if (!cleanup.run("read the host ports", [&] { withdrawal.read(); })) return;
  Leftovers left;
  left.rules = !cleanup.run("remove the rules of xtables", [&] { withdrawal.remove_chains(); });
  cleanup.run("remove the rules of the table cni_hostport",
              [&] { withdrawal.remove_reference_rules(); });
  // Rules that are still there still need it.
  left.localnet =
      !cleanup.run("turn route_localnet off", [&] { withdrawal.settle(); }) || left.rules;
  cleanup.run("remove the host ports", [&] { withdrawal.write_down(left); });
  cleanup.run("forget the flows to the container", [&] { withdrawal.forget_flows(); });
}

}  // namespace cni::portmap
