// Masquerading in our own tables of nf_tables, both families in one transaction.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "attachment/check_container_link.h"
#include "base/undo.h"
#include "inet/network.h"
#include "masquerade/config.h"
#include "netfilter/owner.h"

namespace cni::masquerade::native {

// `addresses` are those to masquerade. In place of what the owner had; an address that another
// owner had is this one's from now on. `undo` removes the owner's unless it had just that before.
void add(const netfilter::Owner& owner, const std::vector<inet::Network>& addresses,
         const Config& config, Undo& undo);

// Whether the owner has anything here.
bool has(const netfilter::Owner& owner);

void check(const netfilter::Owner& owner, const std::vector<inet::Network>& addresses,
           const Config& config, attachment::Differences& differences);

void remove(const netfilter::Owner& owner);

// Removes what is of the owners for which `condition` holds.
void remove_if(const std::function<bool(const netfilter::Owner&)>& condition);

// What the kernel lacks for masquerading in this way; nothing if it lacks nothing. Changes nothing.
std::optional<std::string> find_obstacle();

}  // namespace cni::masquerade::native
