// DEL and GC: takes host ports away, in whatever store the rules are.
#pragma once

#include <functional>
#include <optional>
#include <string>

#include "base/best_effort.h"
#include "holding.h"
#include "xtables_hostports.h"

namespace cni::portmap {

// Which attachments are meant.
struct Selection {
  // Of the only one that `holding` can hold for; nothing if there may be more.
  std::optional<netfilter::Owner> attachment = {};
  std::function<bool(const Holding&)> holding;
  // Of those that nothing is written down about. `may_be` goes by names: a chain is read if it says
  // so, and then `chain` decides.
  std::function<bool(const ChainHolder&)> may_be;
  std::function<bool(const ChainHolder&)> chain;
  // In the reference suite's native tables: nothing, or the container.
  std::string reference_id = {};
  // Only rules that speak of these, if there are any.
  std::optional<inet::Address> reference_v4 = {};
  std::optional<inet::Address> reference_v6 = {};
};

// Takes their ports away, wherever they are. What cannot be removed stays written down, so that the
// next call finds it.
void withdraw(const Selection& selection, BestEffort& cleanup);

}  // namespace cni::portmap
