#include "books.h"

#include <algorithm>
#include <cerrno>

#include "claims.h"
#include "foreign_chains.h"
#include "localnet.h"
#include "native_layout.h"

namespace cni::portmap {

using inet::Family;

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
                                           const std::vector<Run>& runs) {
  return socket_ ? of(family).list_concerned(owners, runs) : std::vector<Holding>();
}

bool Books::any(Family family, const std::function<bool(const Holding&)>& condition) {
  return socket_ && of(family).any(condition);
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
    return std::ranges::any_of(plan.after, [](const Holding& one) {
      return one.store == netfilter::StoreChoice::kNative;
    });
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
