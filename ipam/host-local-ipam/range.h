// Ranges of addresses, and sets of ranges of which one address is taken.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "inet/address.h"
#include "inet/network.h"
#include "json/reader.h"

namespace cni::host_local {

// Both ends belong to it; never empty.
struct Interval {
  inet::Address first;
  inet::Address last;

  bool contains(const inet::Address& address) const;
  bool overlaps(const Interval& other) const;
  // How many addresses; the most that Bits holds for all of ::/0, which is one more.
  inet::Bits size() const;
  // "10.1.2.1-10.1.2.6"
  std::string text() const;
};

struct Range {
  inet::Network subnet;  // without host bits
  Interval addresses;
  inet::Address gateway;  // never given away; may lie anywhere
};

// Alternatives of one family; not empty, and no two overlap.
struct RangeSet {
  std::vector<Range> ranges;

  inet::Family family() const { return ranges.front().subnet.family(); }
  // The range that `address` lies in.
  const Range* find(const inet::Address& address) const;
  bool overlaps(const RangeSet& other) const;
  // The texts of its ranges joined by ",".
  std::string text() const;
};

// A list of range objects (keys subnet, rangeStart, rangeEnd, gateway), or one such object. Both
// throw json::ValueError, for what makes no sense prefixed with `invalid range set <id>: `.
RangeSet parse_range_set(const json::Reader& list, std::size_t id);
RangeSet parse_single_range(const json::Reader& object, std::size_t id);

// An address, a network in CIDR form, or "first-last".
std::optional<Interval> parse_interval(const std::string& text);

}  // namespace cni::host_local
