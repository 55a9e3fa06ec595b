// Who gets which port of the host. Works on what is written down of one family, and changes
// nothing itself.
#pragma once

#include <functional>
#include <optional>
#include <vector>

#include "holding.h"

namespace cni::portmap {

using IsAlive = std::function<bool(const Holding&)>;

// What `holdings` become when `wanted` joins them, in place of what its attachment had. Those that
// are in the way and not alive, or have ended, go. Of those that live: `kError` throws Busy, which
// names the first; `kReplace` takes the ports away; `kShare` has `wanted` wait for these ports.
std::vector<Holding> with(std::vector<Holding> holdings, Holding wanted, ConflictPolicy policy,
                          const IsAlive& is_alive);

// The same without those for which `condition` holds. Who waited for their ports gets them.
std::vector<Holding> without(std::vector<Holding> holdings,
                             const std::function<bool(const Holding&)>& condition);

// What a removal could not take away.
struct Leftovers {
  bool rules = false;     // in a store of xtables rules
  bool localnet = false;  // route_localnet may be on
};

// The same if the removal left something: those that have a share in it stay with it, as ended.
std::vector<Holding> ended(std::vector<Holding> holdings,
                           const std::function<bool(const Holding&)>& condition, Leftovers left);

struct Change {
  std::optional<Holding> before;
  std::optional<Holding> after;
};

// What differs, by attachment; and `owner`, if it is given and has something, also if it has what
// it had: what is missing of it is to be repaired.
std::vector<Change> changes(const std::vector<Holding>& before, const std::vector<Holding>& after,
                            const netfilter::Owner* owner = nullptr);

}  // namespace cni::portmap
