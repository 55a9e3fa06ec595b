// Conditions of a mapping as rules.
#pragma once

#include <vector>

#include "conditions.h"
#include "nftables/expression.h"
#include "xtables/rule.h"

namespace cni::portmap {

// For nf_tables: rules that end in nothing yet, one of which applies exactly if a condition is
// missed.
std::vector<std::vector<nftables::Expression>> missed(const std::vector<Condition>& conditions);

// For xtables: `rule` with the conditions added. Several rules if one has several addresses.
// Throws json::ValueError if a rule cannot say it ("neither of these addresses").
std::vector<xtables::Rule> with_conditions(const xtables::Rule& rule,
                                           const std::vector<Condition>& conditions);

}  // namespace cni::portmap
