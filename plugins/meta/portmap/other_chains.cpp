#include "other_chains.h"

#include "claims.h"
#include "netfilter/choose_store.h"
#include "xtables_hostports.h"

namespace cni::portmap {

using netfilter::StoreChoice;

void adjust_others(const std::vector<FamilyPlan>& plans, const netfilter::Owner* own) {
  for (const FamilyPlan& plan : plans) {
    for (const auto& [before, after] : changes(plan.before, plan.after)) {
      if (!before || before->store == StoreChoice::kNative || before->chain.empty()) continue;
      if (own != nullptr && netfilter::same_attachment(before->owner, *own)) continue;
      const auto store = netfilter::open_xtables_store(before->store);
      store->change(plan.family, "nat", [&, old = *before, now = after](xtables::Table& nat) {
        if (!now) {
          remove_chain(nat, old.chain);
        } else {
          take_ports(
              nat,
              {.chain = old.chain, .network = {}, .container_id = {}, .runs = {}, .address = {}},
              without(old.runs, now->runs));
        }
      });
    }
  }
}

}  // namespace cni::portmap
