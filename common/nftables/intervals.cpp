#include "nftables/intervals.h"

#include <algorithm>
#include <optional>

namespace cni::nftables {

std::vector<Element> interval_elements(const std::vector<inet::Network>& networks,
                                       const Bytes& user_data) {
  std::vector<inet::Network> sorted = networks;
  std::ranges::sort(sorted, {}, &inet::Network::first);
  std::vector<Element> elements;
  std::optional<inet::Address> last;  // of the range that is being put together
  const auto close = [&] {
    if (!last || last->next().is_unspecified()) return;
    elements.push_back({.key = bytes_of(last->next()), .interval_end = true});
  };
  for (const inet::Network& network : sorted) {
    const bool joins = last && (network.first() <= *last || network.first() == last->next());
    if (joins) {
      last = std::max(*last, network.last());
      continue;
    }
    close();
    // What lies below the first range is a range too, one that ends there. nft(8) wants to see it.
    if (!last && !network.first().is_unspecified()) {
      const inet::Address zero = inet::Address::from_bits(network.family(), 0);
      elements.push_back({.key = bytes_of(zero), .interval_end = true});
    }
    elements.push_back({.key = bytes_of(network.first()), .user_data = user_data});
    last = network.last();
  }
  close();
  return elements;
}

}  // namespace cni::nftables
