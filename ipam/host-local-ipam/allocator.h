// Chooses and reserves one address of each range set for a new attachment.
//
// Of a set, that is the requested address; or the one this attachment had before its container
// died; or the one held for its pod; or the next free one after the address given last, going
// round.
#pragma once

#include <optional>
#include <span>
#include <vector>

#include "base/undo.h"
#include "config.h"
#include "inet/address.h"
#include "pool.h"
#include "protocol/request.h"
#include "protocol/result.h"
#include "range.h"
#include "stamp.h"

namespace cni::host_local {

class Allocator {
 public:
  Allocator(Pool& pool, const Config& config, const Request& request);

  // What this ADD reserves is added to `undo`, whose actions release it without the lock being
  // held. Throws Error with the texts of the Go suite; nothing is reserved then.
  std::vector<IpConfig> allocate(Undo& undo);

 private:
  struct Choice {
    inet::Address address;
    const Range* range;
    std::size_t set_id;
    bool exists = false;  // reserved for this owner already
  };

  std::vector<Choice> choose();
  Choice choose_from(const RangeSet& set, std::size_t set_id,
                     std::optional<inet::Address> requested);
  Choice take_requested(const RangeSet& set, std::size_t set_id, const inet::Address& address);
  std::optional<Choice> take_own(const RangeSet& set, std::size_t set_id);
  std::optional<Choice> take_held(const RangeSet& set, std::size_t set_id);
  Choice search(const RangeSet& set, std::size_t set_id);

  // From `start` round the ranges of the set.
  std::optional<inet::Address> search_from_pointer(const RangeSet& set, std::size_t set_id);

  bool belongs_to_living(const Reservation& reservation);
  bool is_held_for_another(const inet::Address& address);
  bool reserve(const std::vector<Choice>& choices, Undo& undo);

  Pool& pool_;
  const Config& config_;
  Owner owner_;
  Stamp stamp_;
};

}  // namespace cni::host_local
