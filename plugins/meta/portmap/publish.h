// ADD: host ports of an attachment in whatever store its rules are, and what is written down of it.
#pragma once

#include "base/undo.h"
#include "config.h"
#include "netfilter/choose_store.h"
#include "protocol/request.h"

namespace cni::portmap {

// Forwards the ports to the container, in place of what its attachment had. Throws Busy, which
// names the holder, if a live attachment has one of them and the configuration does not say
// otherwise.
void publish(const Request& request, const Config& config, netfilter::StoreChoice store,
             Undo& undo);

}  // namespace cni::portmap
