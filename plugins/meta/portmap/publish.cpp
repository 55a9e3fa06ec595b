#include "publish.h"

#include <algorithm>
#include <map>

#include "books.h"
#include "chain_names.h"
#include "claims.h"
#include "flows.h"
#include "foreign_chains.h"
#include "foreign_claims.h"
#include "legacy_guard.h"
#include "liveness.h"
#include "localnet.h"
#include "localnet_upkeep.h"
#include "other_chains.h"
#include "reference_hostports.h"

namespace cni::portmap {
namespace {

using inet::Family;
using netfilter::same_attachment;
using netfilter::StoreChoice;

// What the attachment had in other stores than that of now, made by the reference suite perhaps.
void remove_own_chain_elsewhere(Books& books, const netfilter::Owner& owner, StoreChoice store) {
  const std::string chain = container_chain(owner.network, owner.container_id);
  for (const auto& other : stores_with_hostports(books.socket())) {
    if (choice_of(*other) == store) continue;
    for (const Family family : kFamilies) {
      const auto nat = other->find(family, "nat");
      if (!nat || !nat->has_chain(chain)) continue;
      other->change(family, "nat", [&](xtables::Table& table) { remove_chain(table, chain); });
    }
  }
}

// Only what an ADD did and nobody has changed since.
void take_back(const std::vector<FamilyPlan>& plans, const Holding& wanted) {
  Books books(Books::Use::kChange);
  std::vector<FamilyPlan> way_back;
  for (const FamilyPlan& plan : plans) {
    FamilyPlan back{.family = plan.family, .before = books.list(plan.family), .after = {}};
    back.after = back.before;
    for (const auto& [before, after] : changes(plan.before, plan.after)) {
      const netfilter::Owner& owner = before ? before->owner : after->owner;
      const Holding* now = find_holding(back.before, owner);
      if ((now == nullptr) != !after || (now != nullptr && *now != *after)) continue;
      std::erase_if(back.after,
                    [&](const Holding& one) { return same_attachment(one.owner, owner); });
      if (before) back.after.push_back(*before);
    }
    way_back.push_back(std::move(back));
  }
  if (!wanted.chain.empty()) {
    const auto store = netfilter::open_xtables_store(wanted.store);
    for (const Family family : kFamilies) {
      if (!store->find(family, "nat")) continue;
      store->change(family, "nat", [&](xtables::Table& nat) { remove_chain(nat, wanted.chain); });
    }
  }
  for (const FamilyPlan& plan : way_back) {
    if (plan.family == Family::kIpv4) settle_localnet(plan, books);
  }
  settle_guards(books);
  books.commit(way_back, "take back the host ports");
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
      FamilyPlan plan{.family = family, .before = books.list(family), .after = {}};
      const auto one = std::ranges::find_if(
          wanted, [&](const Holding& holding) { return holding.family() == family; });
      // An attachment without a port in this family needs nothing here.
      if (one == wanted.end() || one->runs.empty()) {
        plan.after = without(plan.before, [&](const Holding& holding) {
          return same_attachment(holding.owner, owner);
        });
      } else {
        if (family == Family::kIpv4 && config.snat) {
          if (const auto interface = find_interface_to(one->address.address)) {
            one->localnet = plan_localnet(*interface, plan.before);
          }
        }
        foreign.look(books, plan, *one);
        plan.after = with(plan.before, *one, config.conflict_policy, is_alive);
      }
      plans.push_back(std::move(plan));
    }
    undo.add("take back the host ports",
             [plans, first = wanted.front()] { take_back(plans, first); });
    // First the guard, then what it guards.
    books.commit(plans, "map the host ports", &owner);
    foreign.apply();
    adjust_others(plans, &owner);
    remove_own_chain_elsewhere(books, owner, store);
    for (const auto& [family, container] : rules) {
      netfilter::open_xtables_store(store)->change(
          family, "nat", [&](xtables::Table& nat) { apply_rules(nat, container); });
    }
    for (const Holding& one : wanted) {
      if (!one.localnet) continue;
      if (!books.socket() && one.localnet->reset) {
        ensure_guard(*netfilter::open_xtables_store(store), one.localnet->interface);
      }
      route_localnet(one.localnet->interface);
    }
    settle_localnet(plans.front(), books);
  }
  for (const Holding& one : wanted) forget_flows(one.family(), one.runs, std::nullopt);
}

}  // namespace cni::portmap
