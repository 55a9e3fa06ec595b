#include "inet/network.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>

#include "base/text.h"

namespace cni::inet {
namespace {

Bits host_mask(const Network& network) {
  const int bits = network.address.width() - network.prefix_length;
  return bits == 128 ? ~Bits{0} : (Bits{1} << static_cast<unsigned>(bits)) - 1;
}

}  // namespace

std::optional<Network> Network::parse(std::string_view text) {
  const std::size_t slash = text.find('/');
  if (slash == std::string_view::npos) return std::nullopt;
  const std::string_view length_text = text.substr(slash + 1);
  const std::optional<Address> address = Address::parse(text.substr(0, slash));
  const std::optional<unsigned> length = parse_number<unsigned>(length_text);
  if (!address || !length || length_text.size() > 3) return std::nullopt;
  if (*length > static_cast<unsigned>(address->width())) return std::nullopt;
  return Network{*address, static_cast<int>(*length)};
}

std::string Network::text() const {
  return fmt::format("{}/{}", address.text(), prefix_length);
}

Address Network::first() const {
  return Address::from_bits(family(), address.bits() & ~host_mask(*this));
}

Address Network::last() const {
  return Address::from_bits(family(), address.bits() | host_mask(*this));
}

bool Network::contains(const Address& other) const {
  return other.family() == family() && first() <= other && other <= last();
}

bool Network::overlaps(const Network& other) const {
  return contains(other.first()) || other.contains(first());
}

std::vector<Network> of_family(const std::vector<Network>& networks, Family family) {
  std::vector<Network> some;
  std::ranges::copy_if(networks, std::back_inserter(some),
                       [&](const Network& one) { return one.family() == family; });
  return some;
}

Network default_network(Family family) {
  return {Address::from_bits(family, 0), 0};
}

}  // namespace cni::inet
