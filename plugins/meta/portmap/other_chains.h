// Chains of other attachments in the stores of xtables rules.
#pragma once

#include <vector>

#include "books.h"
#include "netfilter/owner.h"

namespace cni::portmap {

// Takes from the rules of others what they do not have any more. Of all if `own` is nullptr.
void adjust_others(const std::vector<FamilyPlan>& plans, const netfilter::Owner* own);

}  // namespace cni::portmap
