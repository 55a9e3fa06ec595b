// Keeps others out of 127.0.0.0/8 on a kernel that can have no table of ours: one rule in table raw
// of iptables-legacy for each interface whose route_localnet was turned on. The rule is also what
// remembers that.
#pragma once

#include <string>
#include <vector>

#include "xtables/table.h"

namespace cni::portmap {

void ensure_guard(xtables::Store& store, const std::string& interface);
// Those that have such a rule.
std::vector<std::string> guarded_interfaces(xtables::Store& store);
void remove_guard(xtables::Store& store, const std::string& interface);

}  // namespace cni::portmap
