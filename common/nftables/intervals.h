// Networks as elements of an interval set.
#pragma once

#include <vector>

#include "inet/network.h"
#include "nftables/objects.h"

namespace cni::nftables {

// The elements of an interval set of one field that hold these networks, which are of one family:
// none overlap or touch, ascending. `user_data` goes to the first element of each range.
std::vector<Element> interval_elements(const std::vector<inet::Network>& networks,
                                       const Bytes& user_data = {});

}  // namespace cni::nftables
