#include "dynamic_part.h"

#include <algorithm>

namespace cni::host_local {

DynamicPart::DynamicPart(const Range& range, const std::vector<Interval>& reserved)
    : whole_(range.addresses) {
  std::vector<Interval> parts = reserved;
  parts.push_back({.first = range.gateway, .last = range.gateway});
  std::erase_if(parts, [&](const Interval& part) { return !part.overlaps(whole_); });
  std::ranges::sort(parts, {}, &Interval::first);
  for (const Interval& part : parts) {
    const Interval inside = {.first = std::max(part.first, whole_.first),
                             .last = std::min(part.last, whole_.last)};
    if (!excluded_.empty() && inside.first <= excluded_.back().last) {
      excluded_.back().last = std::max(excluded_.back().last, inside.last);
    } else {
      excluded_.push_back(inside);
    }
  }
}

const Interval* DynamicPart::find_excluded(const inet::Address& address) const {
  const auto found =
      std::ranges::find_if(excluded_, [&](const Interval& part) { return part.contains(address); });
  return found == excluded_.end() ? nullptr : &*found;
}

bool DynamicPart::contains(const inet::Address& address) const {
  return whole_.contains(address) && find_excluded(address) == nullptr;
}

inet::Bits DynamicPart::size() const {
  inet::Bits size = whole_.size();
  for (const Interval& part : excluded_) size -= part.size();
  return size;
}

std::optional<inet::Address> DynamicPart::find_first(
    const Interval& interval,
    const std::function<std::optional<inet::Address>(const Interval&)>& find) const {
  Interval left = interval;
  for (;;) {
    const auto found = find(left);
    if (!found) return std::nullopt;
    const Interval* excluded = find_excluded(*found);
    if (excluded == nullptr) return found;
    if (left.last <= excluded->last) return std::nullopt;
    left.first = excluded->last.next();
  }
}

inet::Bits DynamicPart::count(const std::function<inet::Bits(const Interval&)>& count_in) const {
  inet::Bits count = count_in(whole_);
  for (const Interval& part : excluded_) count -= count_in(part);
  return count;
}

}  // namespace cni::host_local
