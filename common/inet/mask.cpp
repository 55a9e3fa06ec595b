#include "inet/mask.h"

namespace cni::inet {

Address mask_of(const Network& network) {
  const Address all_ones = Address::from_bits(network.family(), ~Bits{0});
  return Network{.address = all_ones, .prefix_length = network.prefix_length}.first();
}

std::optional<int> prefix_length_of(const Address& mask) {
  for (int length = 0; length <= mask.width(); ++length) {
    if (mask_of({.address = mask, .prefix_length = length}) == mask) return length;
  }
  return std::nullopt;
}

}  // namespace cni::inet
