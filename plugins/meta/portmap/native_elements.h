// Which elements an attachment has in the sets and maps of the table `plumb_hostports`.
#pragma once

#include <optional>
#include <vector>

#include "holding.h"
#include "nftables/objects.h"

namespace cni::portmap {

// The elements of one set by which somebody has a port of `runs`.
struct Competition {
  nftables::Set set;
  // What to ask for; nothing if it is better to read all there are.
  std::optional<std::vector<nftables::Bytes>> keys;
  // Elements of an interval set, one of which an element of the set must meet.
  std::vector<nftables::Element> intervals;
};
enum class Kept { kHere, kInChains };
std::vector<Competition> competition(inet::Family family, const std::vector<Run>& runs, Kept kept);

// Elements of one attachment, without the mark of the owner.
struct SetElements {
  nftables::Set set;
  std::vector<nftables::Element> elements;
};
// One entry for each set of the table that can have elements of attachments, in a fixed order.
std::vector<SetElements> elements_of(const Holding& holding);

}  // namespace cni::portmap
