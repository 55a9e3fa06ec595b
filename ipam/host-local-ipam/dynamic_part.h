// The addresses of a range that are given to whoever does not ask for one: all but its gateway
// and the reserved ones.
#pragma once

#include <functional>
#include <optional>
#include <vector>

#include "inet/address.h"
#include "range.h"

namespace cni::host_local {

class DynamicPart {
 public:
  DynamicPart(const Range& range, const std::vector<Interval>& reserved);

  bool contains(const inet::Address& address) const;
  inet::Bits size() const;

  // The first address of `interval`, which lies in the range, that belongs to it and that `find`
  // finds. `find` answers with the first it likes of an interval.
  std::optional<inet::Address> find_first(
      const Interval& interval,
      const std::function<std::optional<inet::Address>(const Interval&)>& find) const;

  // How many of it `count_in` counts. That tells the number for an interval.
  inet::Bits count(const std::function<inet::Bits(const Interval&)>& count_in) const;

 private:
  const Interval* find_excluded(const inet::Address& address) const;

  Interval whole_;
  std::vector<Interval> excluded_;  // inside whole_, in order, without overlap
};

}  // namespace cni::host_local
