// The comparisons in a rule of the iptables dialect, as the conditions they stand for: interfaces,
// protocol, addresses, ports and marks.
#pragma once

#include "inet/address.h"
#include "netlink/message.h"
#include "xtables/dialect_registers.h"
#include "xtables/rule.h"

namespace cni::xtables {

// Both add to `rule` what the attributes of an expression compare with what is in the registers;
// false if the model has no words for it.
bool decode_comparison(inet::Family family, const netlink::Attributes& attributes,
                       const Registers& registers, Rule& rule);
bool decode_range(const netlink::Attributes& attributes, const Registers& registers, Rule& rule);

}  // namespace cni::xtables
