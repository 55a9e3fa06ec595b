// Prefix lengths as masks: /24 is 255.255.255.0.
#pragma once

#include <optional>

#include "inet/address.h"
#include "inet/network.h"

namespace cni::inet {

Address mask_of(const Network& network);

// Nothing if the ones of `mask` have holes between them.
std::optional<int> prefix_length_of(const Address& mask);

}  // namespace cni::inet
