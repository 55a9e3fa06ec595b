#include "books.h"

#include <algorithm>
#include <cerrno>
#include <iterator>
#include <set>
#include <utility>

#include "chain_names.h"
#include "chain_shares.h"
#include "claims.h"
#include "foreign_chains.h"
#include "localnet.h"
#include "native_sets.h"

namespace cni::portmap {

using inet::Family;
using netfilter::StoreChoice;

Books::Books(Use use) : socket_(nftables::Socket::find()) {
  if (!socket_) return;
  const bool exists = std::ranges::any_of(kFamilies, [&](Family family) {
    return socket_->find_table(hostports_table(family)).has_value();
  });
  if (use == Use::kChange || exists || !marked_interfaces().empty()) {
    lock_ = netfilter::lock_native_tables();
  }
}

std::vector<Holding> Books::list(Family family) {
  return socket_ ? of(family).list() : std::vector<Holding>();
}

std::vector<Holding> Books::list_concerned(Family family,
                                           const std::vector<netfilter::Owner>& owners,
                                           std::vector<Run> runs) {
  if (!socket_) return {};
  std::set<std::pair<StoreChoice, std::string>> chains;
  const auto add_chain = [&](StoreChoice store, const std::string& chain) {
    if (!chains.emplace(store, chain).second) return false;
    std::ranges::move(read_chain(store, family, chain), std::back_inserter(runs));
    return true;
  };
  for (const netfilter::Owner& owner : owners) {
    for (const auto& store : stores()) {
      add_chain(choice_of(*store), container_chain(owner.network, owner.container_id));
    }
  }
  while (true) {
    std::vector<Holding> found = of(family).list_concerned(owners, runs);
    bool is_all = true;
    for (const Holding& one : found) {
      if (!one.chain.empty() && add_chain(one.store, one.chain)) is_all = false;
    }
    if (is_all) return found;
  }
}

// The ports that are served there.
std::vector<Run> Books::read_chain(StoreChoice store, Family family, const std::string& chain) {
  std::vector<Run> runs;
  for (const auto& one : stores()) {
    if (choice_of(*one) != store) continue;
    const auto nat = one->find(family, "nat");
    if (!nat) continue;
    for (const xtables::StoredRule& rule : nat->rules(chain)) {
      if (const auto run = served_by(rule)) runs.push_back(*run);
    }
  }
  return runs;
}

const std::vector<std::unique_ptr<xtables::Store>>& Books::stores() {
  if (!stores_) stores_ = stores_with_hostports(socket_);
  return *stores_;
}

void Books::commit(const std::vector<FamilyPlan>& plans, const std::string& attempt,
                   const netfilter::Owner* owner) {
  // A look found no table. One that is there now is somebody else's: to delete it if it is empty
  // needs the lock.
  if (!socket_ || !lock_) return;
  if (!put(plans, attempt, owner)) return;
  const bool removes = std::ranges::any_of(plans, [](const FamilyPlan& plan) {
    // An earlier call may have ended before it could delete the table.
    return plan.after.empty() || plan.after.size() < plan.before.size();
  });
  if (!removes) return;
  for (const FamilyPlan& plan : plans) of(plan.family).delete_if_unused();
}

// Returns whether there are books.
bool Books::put(const std::vector<FamilyPlan>& plans, const std::string& attempt,
                const netfilter::Owner* owner) {
  const auto prepare = [&] {
    nftables::Batch batch;
    for (const FamilyPlan& plan : plans) {
      of(plan.family).apply(batch, changes(plan.before, plan.after, owner));
    }
    return batch;
  };
  const bool has_native = std::ranges::any_of(plans, [](const FamilyPlan& plan) {
    return std::ranges::any_of(
        plan.after, [](const Holding& one) { return one.store == StoreChoice::kNative; });
  });
  if (has_native) {
    netfilter::commit_prepared(*socket_, attempt, prepare);
  } else if (netfilter::commit_prepared(*socket_, attempt, prepare, {EOPNOTSUPP, EAFNOSUPPORT}) !=
             0) {
    socket_.reset();
  }
  return socket_.has_value();
}

}  // namespace cni::portmap
