// Host ports of an attachment in whatever store its rules are, and what is written down about them.
#pragma once

#include <functional>
#include <string>

#include "base/best_effort.h"
#include "base/undo.h"
#include "config.h"
#include "holding.h"
#include "netfilter/choose_store.h"
#include "protocol/request.h"
#include "xtables_hostports.h"

namespace cni::portmap {

// Forwards the ports to the container, in place of what its attachment had. Throws Busy, which
// names the holder, if a live attachment has one of them and the configuration does not say
// otherwise.
void publish(const Request& request, const Config& config, netfilter::StoreChoice store,
             Undo& undo);

// Which attachments are meant.
struct Selection {
  std::function<bool(const Holding&)> holding;
  // Of those that nothing is written down about.
  std::function<bool(const ChainHolder&)> chain;
  // In the reference suite's native tables: nothing, or the container.
  std::string reference_id = {};
  // Only rules that speak of these, if there are any.
  std::optional<inet::Address> reference_v4 = {};
  std::optional<inet::Address> reference_v6 = {};
};

// Takes their ports away, wherever they are.
void withdraw(const Selection& selection, BestEffort& cleanup);

}  // namespace cni::portmap
