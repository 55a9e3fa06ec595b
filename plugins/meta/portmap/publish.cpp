#include "publish.h"

#include <algorithm>
#include <map>
#include <memory>

#include "books.h"
#include "chain_edits.h"
#include "chain_names.h"
#include "claims.h"
#include "flows.h"
#include "foreign_chains.h"
#include "foreign_claims.h"
#include "host_listeners.h"
#include "liveness.h"
#include "localnet.h"
#include "localnet_upkeep.h"
#include "reference_hostports.h"

namespace cni::portmap {
namespace {

using inet::Family;
using netfilter::same_attachment;
using netfilter::StoreChoice;

// What an ADD did to rules of others, and to those that its attachment had.
struct Trail {
  std::vector<ChangedChain> chains;
  std::vector<nftables::Rule> deleted;  // of the reference suite's tables
};

// What the attachment had in other stores than that of now, made by the reference suite perhaps.
void add_own_elsewhere(ChainEdits& edits, Books& books, const std::vector<FamilyPlan>& plans,
                       const netfilter::Owner& owner, StoreChoice store) {
  const std::string chain = container_chain(owner.network, owner.container_id);
  for (const auto& other : books.stores()) {
    const StoreChoice choice = choice_of(*other);
    if (choice == store) continue;
    for (const Family family : kFamilies) {
      const auto nat = other->find(family, "nat");
      if (!nat || !nat->has_chain(chain)) continue;
      edits.add(choice, family, chain,
                [chain, others = other_shares(plans, family, choice, chain, owner)](
                    xtables::Table& table) { remove_rules(table, chain, others); });
    }
  }
}

// What of the books is still as an ADD left it becomes what it was.
FamilyPlan way_back(const FamilyPlan& plan, std::vector<Holding> now) {
  FamilyPlan back{.family = plan.family, .before = now, .after = std::move(now)};
  for (const auto& [before, after] : changes(plan.before, plan.after)) {
    const netfilter::Owner& owner = before ? before->owner : after->owner;
    const Holding* present = find_holding(back.before, owner);
    if ((present == nullptr) != !after || (present != nullptr && *present != *after)) continue;
    std::erase_if(back.after,
                  [&](const Holding& one) { return same_attachment(one.owner, owner); });
    if (before) back.after.push_back(*before);
  }
  return back;
}

// Only what an ADD did and nobody has changed since.
void take_back(const std::vector<FamilyPlan>& plans, const Trail& trail,
               const netfilter::Owner& owner) {
  Books books(Books::Use::kChange);
  std::vector<FamilyPlan> back;
  for (const FamilyPlan& plan : plans) {
    std::vector<netfilter::Owner> owners;
    std::vector<Run> runs;
    for (const auto* holdings : {&plan.before, &plan.after}) {
      for (const Holding& one : *holdings) {
        owners.push_back(one.owner);
        runs.insert(runs.end(), one.runs.begin(), one.runs.end());
      }
    }
    back.push_back(way_back(plan, books.list_concerned(plan.family, owners, runs)));
  }
  ChainEdits edits;
  edits.add_way_back(trail.chains, back, owner);
  edits.apply();
  settle_localnet(back.front(), books);
  settle_lost_localnet(back.front(), books);
  settle_guards(books);
  if (books.socket()) put_back_reference_rules(*books.socket(), trail.deleted);
  books.commit(back, "take back the host ports");
  for (const auto& [now, again] : changes(back.front().before, back.front().after)) {
    if (again && again->localnet && is_interface(again->localnet->interface)) {
      start_localnet(*again, books);
    }
  }
}

}  // namespace

void publish(const Request& request, const Config& config, StoreChoice store, Undo& undo) {
  std::vector<Holding> wanted;
  for (const Family family : kFamilies) {
    if (config.address(family)) wanted.push_back(wanted_holding(request, config, store, family));
  }
  if (wanted.empty()) return;
  const netfilter::Owner owner = wanted.front().owner;
  // Rendered first: what cannot be said is refused before anything changes.
  std::map<Family, ContainerRules> rules;
  if (store != StoreChoice::kNative) {
    for (const Holding& one : wanted) {
      rules.emplace(one.family(),
                    render_rules(config, one.family(), owner.network, owner.container_id));
    }
  }

  std::vector<FamilyPlan> plans;
  {
    Books books(Books::Use::kChange);
    Liveness liveness(request, config);
    ForeignClaims foreign(config, liveness, owner);
    const auto is_alive = [&](const Holding& other) { return liveness.is_alive(other); };
    for (const Family family : kFamilies) {
      const auto one = std::ranges::find_if(
          wanted, [&](const Holding& holding) { return holding.family() == family; });
      const auto runs = one == wanted.end() ? std::vector<Run>() : one->runs;
      FamilyPlan plan{
          .family = family, .before = books.list_concerned(family, {owner}, runs), .after = {}};
      // An attachment without a port in this family needs nothing here.
      if (one == wanted.end() || one->runs.empty()) {
        plan.after = without(plan.before, [&](const Holding& holding) {
          return same_attachment(holding.owner, owner);
        });
      } else {
        if (family == Family::kIpv4 && config.snat) {
          if (const auto interface = find_interface_to(one->address.address)) {
            one->localnet = plan_localnet(*interface, books);
          }
        }
        foreign.look(books, plan, *one);
        plan.after = with(plan.before, *one, config.conflict_policy, is_alive);
      }
      plans.push_back(std::move(plan));
    }
    const auto trail = std::make_shared<Trail>();
    undo.add("take back the host ports",
             [plans, trail, owner] { take_back(plans, *trail, owner); });
    settle_lost_localnet(plans.front(), books);
    // First the guard, then what it guards.
    books.commit(plans, "map the host ports", &owner);
    ChainEdits edits;
    edits.add_losses(plans);
    foreign.add_edits(edits);
    add_own_elsewhere(edits, books, plans, owner, store);
    for (const auto& [family, container] : rules) {
      edits.add(store, family, container.chain,
                [&, others = other_shares(plans, family, store, container.chain, owner)](
                    xtables::Table& nat) { apply_rules(nat, container, others); });
    }
    edits.apply(&trail->chains);
    if (books.socket()) foreign.delete_rules(*books.socket(), trail->deleted);
    for (const Holding& one : wanted) start_localnet(one, books);
    settle_localnet(plans.front(), books);
  }
  for (const Holding& one : wanted) {
    forget_flows(one.family(), one.runs, std::nullopt);
    warn_of_listeners(one.family(), one.runs);
  }
}

}  // namespace cni::portmap
