#include "range.h"

#include <fmt/format.h>

#include <algorithm>

namespace cni::host_local {
namespace {

class RangeReader {
 public:
  RangeReader(const json::Reader& object, std::size_t id) : object_(object), id_(id) {}

  Range read() const {
    const inet::Network subnet = read_subnet();
    const auto gateway = object_["gateway"].find_address();
    return {.subnet = subnet,
            .addresses = read_addresses(subnet),
            .gateway = gateway.value_or(subnet.first().next())};
  }

 private:
  [[noreturn]] void refuse(const char* key, const std::string& problem) const {
    object_[key].refuse(fmt::format("invalid range set {}: {}", id_, problem));
  }

  inet::Network read_subnet() const {
    const auto subnet = object_["subnet"].find_network();
    if (!subnet) refuse("subnet", "IP <nil> not v4 nor v6");
    // Network address, gateway, one more, and for IPv4 the broadcast address.
    if (subnet->prefix_length > subnet->address.width() - 2) {
      refuse("subnet", fmt::format("Network {} too small to allocate from", subnet->text()));
    }
    if (subnet->address != subnet->first()) {
      refuse("subnet", fmt::format("Network has host bits set. For a subnet mask of length {} the "
                                   "network address is {}",
                                   subnet->prefix_length, subnet->first().text()));
    }
    return *subnet;
  }

  Interval read_addresses(const inet::Network& subnet) const {
    const auto start = object_["rangeStart"].find_address();
    const auto end = object_["rangeEnd"].find_address();
    const inet::Address last =
        subnet.family() == inet::Family::kIpv4
            ? inet::Address::from_bits(subnet.family(), subnet.last().bits() - 1)
            : subnet.last();
    const Interval addresses = {.first = start.value_or(subnet.first().next()),
                                .last = end.value_or(last)};
    const auto outside = [&](const char* key, const char* name, const inet::Address& address) {
      refuse(key, fmt::format("{} {} not in network {}", name, address.text(), subnet.text()));
    };
    if (start && (!subnet.contains(*start) || addresses.last < *start)) {
      outside("rangeStart", "RangeStart", *start);
    }
    if (end && (!subnet.contains(*end) || *end < addresses.first)) {
      outside("rangeEnd", "RangeEnd", *end);
    }
    return addresses;
  }

  const json::Reader& object_;
  std::size_t id_;
};

void check_set(const RangeSet& set, const json::Reader& place, std::size_t id) {
  const auto refuse = [&](const std::string& problem) {
    place.refuse(fmt::format("invalid range set {}: {}", id, problem));
  };
  const auto& ranges = set.ranges;
  if (ranges.empty()) refuse("empty range set");
  for (const Range& range : ranges) {
    if (range.subnet.family() != set.family()) refuse("mixed address families");
  }
  for (auto one = ranges.begin(); one != ranges.end(); ++one) {
    for (auto other = one + 1; other != ranges.end(); ++other) {
      if (one->addresses.overlaps(other->addresses)) {
        refuse(fmt::format("subnets {} and {} overlap", one->addresses.text(),
                           other->addresses.text()));
      }
    }
  }
}

}  // namespace

bool Interval::contains(const inet::Address& address) const {
  return address.family() == first.family() && first <= address && address <= last;
}

bool Interval::overlaps(const Interval& other) const {
  return contains(other.first) || other.contains(first);
}

inet::Bits Interval::size() const {
  const inet::Bits most = last.bits() - first.bits();
  return most == ~inet::Bits{0} ? most : most + 1;
}

std::string Interval::text() const {
  return fmt::format("{}-{}", first.text(), last.text());
}

const Range* RangeSet::find(const inet::Address& address) const {
  const auto found = std::ranges::find_if(
      ranges, [&](const Range& range) { return range.addresses.contains(address); });
  return found == ranges.end() ? nullptr : &*found;
}

bool RangeSet::overlaps(const RangeSet& other) const {
  return std::ranges::any_of(ranges, [&](const Range& one) {
    return std::ranges::any_of(
        other.ranges, [&](const Range& two) { return one.addresses.overlaps(two.addresses); });
  });
}

std::string RangeSet::text() const {
  std::vector<std::string> texts;
  for (const Range& range : ranges) texts.push_back(range.addresses.text());
  return fmt::format("{}", fmt::join(texts, ","));
}

RangeSet parse_range_set(const json::Reader& list, std::size_t id) {
  RangeSet set;
  for (const json::Reader& object : list.elements()) {
    set.ranges.push_back(RangeReader(object, id).read());
  }
  check_set(set, list, id);
  return set;
}

RangeSet parse_single_range(const json::Reader& object, std::size_t id) {
  RangeSet set{.ranges = {RangeReader(object, id).read()}};
  check_set(set, object, id);
  return set;
}

std::optional<Interval> parse_interval(const std::string& text) {
  if (const auto address = inet::Address::parse(text)) {
    return Interval{.first = *address, .last = *address};
  }
  if (const auto network = inet::Network::parse(text)) {
    return Interval{.first = network->first(), .last = network->last()};
  }
  const std::size_t dash = text.find('-');
  if (dash == std::string::npos) return std::nullopt;
  const auto first = inet::Address::parse(text.substr(0, dash));
  const auto last = inet::Address::parse(text.substr(dash + 1));
  if (!first || !last || first->family() != last->family() || *last < *first) {
    return std::nullopt;
  }
  return Interval{.first = *first, .last = *last};
}

}  // namespace cni::host_local
