// Rules that follow from configurations.
#pragma once

#include <vector>

#include "inet/address.h"
#include "netfilter/native_table.h"
#include "nftables/objects.h"
#include "xtables/rule.h"

namespace cni::fuzz {

// Both stores of xtables rules take it and read the same back.
void require_storable(const xtables::Rule& rule, inet::Family family);

// All of it fits into messages.
void require_sendable(const netfilter::Layout& layout);
void require_sendable(const nftables::Set& set, const std::vector<nftables::Element>& elements);

}  // namespace cni::fuzz
