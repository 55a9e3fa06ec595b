#include "allocator.h"

#include <fmt/format.h>

#include <algorithm>

#include "dynamic_part.h"
#include "protocol/error.h"

namespace cni::host_local {
namespace {

// More addresses than it takes no time to look at.
constexpr unsigned kMany = 1024;

bool is_many(const RangeSet& set) {
  inet::Bits size = 0;
  for (const Range& range : set.ranges) size = std::max(size, range.addresses.size());
  return size > kMany;
}

// The parts of a set in the order of the search: what follows `last` in its range, the ranges
// after that one, and round to `last` itself.
struct Part {
  const Range* range;
  Interval interval;
};

std::vector<Part> parts_after(const RangeSet& set, const inet::Address& last) {
  std::vector<Part> parts;
  const auto start = static_cast<std::size_t>(set.find(last) - set.ranges.data());
  const std::size_t count = set.ranges.size();
  const Interval& split = set.ranges[start].addresses;
  if (last < split.last) {
    parts.push_back({&set.ranges[start], {.first = last.next(), .last = split.last}});
  }
  for (std::size_t step = 1; step < count; ++step) {
    const Range& range = set.ranges[(start + step) % count];
    parts.push_back({&range, range.addresses});
  }
  parts.push_back({&set.ranges[start], {.first = split.first, .last = last}});
  return parts;
}

std::vector<Part> parts_of(const RangeSet& set, const std::optional<inet::Address>& last) {
  if (last && set.find(*last) != nullptr) return parts_after(set, *last);
  std::vector<Part> parts;
  for (const Range& range : set.ranges) parts.push_back({&range, range.addresses});
  return parts;
}

[[noreturn]] void refuse(std::size_t set_id, const std::string& problem,
                         const std::string& details = {}) {
  throw Error(Code::kInternal, fmt::format("failed to allocate for range {}: {}", set_id, problem),
              details);
}

void release_again(const Place& place, const Owner& owner, const inet::Address& address) {
  auto store = Store::find_for_writing(place.shared());
  if (!store) return;
  Pool pool(*std::move(store), place);
  pool.release(address, owner, Release{});
  pool.save();
}

void hold_again(const Place& place, const Hold& hold, bool existed) {
  auto store = Store::find_for_writing(place.shared());
  if (!store) return;
  Pool pool(*std::move(store), place);
  if (existed) {
    pool.put_hold(hold);
  } else {
    pool.drop_hold(hold);
  }
  pool.save();
}

}  // namespace

Allocator::Allocator(Pool& pool, const Config& config, const Request& request)
    : pool_(pool),
      config_(config),
      owner_{.container_id = request.environment.container_id,
             .ifname = request.environment.ifname},
      stamp_(stamp_of(request)) {
  if (stamp_.netns) pool_.liveness().add_resident(*stamp_.netns, owner_.container_id);
}

std::vector<IpConfig> Allocator::allocate(Undo& undo) {
  if (config_.reclaim && !pool_.reclaimed_in_this_boot()) pool_.reclaim(config_.release, false);
  pool_.settle();
  pool_.cooldown().drain(config_.release.cooldown);

  std::vector<Choice> choices = choose();
  while (!reserve(choices, undo)) {
    // The index was wrong about an address. Now it is made from the files, under the lock, so each
    // turn finds one more name that is taken by something foreign.
    pool_.read_again();
    choices = choose();
  }
  std::vector<IpConfig> ips;
  for (const Choice& choice : choices) {
    ips.push_back({.address = {choice.address, choice.range->subnet.prefix_length},
                   .gateway = choice.range->gateway});
  }
  return ips;
}

std::vector<Allocator::Choice> Allocator::choose() {
  std::vector<inet::Address> open = config_.requested;
  std::vector<Choice> choices;
  for (std::size_t id = 0; id < config_.sets.size(); ++id) {
    const RangeSet& set = config_.sets[id];
    const auto match = std::ranges::find_if(
        open, [&](const inet::Address& address) { return set.find(address) != nullptr; });
    std::optional<inet::Address> requested;
    if (match != open.end()) {
      requested = *match;
      open.erase(match);
    }
    choices.push_back(choose_from(set, id, requested));
  }
  if (!open.empty()) {
    std::string left;
    for (const inet::Address& address : open) left += ' ' + address.text();
    throw Error(Code::kInternal, fmt::format("failed to allocate all requested IPs:{}", left));
  }
  return choices;
}

Allocator::Choice Allocator::choose_from(const RangeSet& set, std::size_t set_id,
                                         std::optional<inet::Address> requested) {
  if (requested) return take_requested(set, set_id, *requested);
  if (const auto own = take_own(set, set_id)) return *own;
  if (const auto held = take_held(set, set_id)) return *held;
  return search(set, set_id);
}

bool Allocator::belongs_to_living(const Reservation& reservation) {
  const Lease lease = pool_.lease(reservation);
  if (lease.life == Life::kDead) return false;
  // The namespace that the container had before, whose number its new one got.
  const bool new_namespace = reservation.owner == owner_ && stamp_.netns &&
                             lease.stamp.netns == stamp_.netns &&
                             !pool_.liveness().path_confirms(lease.stamp);
  return !new_namespace;
}

Allocator::Choice Allocator::take_requested(const RangeSet& set, std::size_t set_id,
                                            const inet::Address& address) {
  const Range* range = set.find(address);
  if (address == range->gateway) {
    refuse(set_id, fmt::format("requested ip {} is subnet's gateway", address.text()));
  }
  const auto not_available = [&](const std::string& why) {
    refuse(set_id,
           fmt::format("requested IP address {} is not available in range set {}", address.text(),
                       set.text()),
           why);
  };
  const Choice choice{.address = address, .range = range, .set_id = set_id};
  const Store::Entry entry = pool_.store().look_up(address);
  if (entry.use == Store::Use::kForeign) {
    not_available(
        fmt::format("{} is not a regular file", pool_.store().directory().path_of(address.text())));
  }
  if (entry.use == Store::Use::kReserved) {
    const bool alive = belongs_to_living({.address = address, .owner = entry.owner});
    if (alive || !config_.reclaim) {
      not_available(fmt::format("reserved for container {}", entry.owner.container_id));
    }
    pool_.release(address, entry.owner, Release{.sticky = config_.release.sticky});
  }
  if (is_held_for_another(address)) not_available("held for another pod");
  return choice;
}

// The pod may come back, and nobody else gets its address before the time is over.
bool Allocator::is_held_for_another(const inet::Address& address) {
  if (!pool_.holds().held().contains(address)) return false;
  if (!config_.release.sticky) return false;
  for (const Hold& hold : pool_.holds().all()) {
    if (std::ranges::find(hold.addresses, address) == hold.addresses.end()) continue;
    if (hold.pod == stamp_.pod && hold.owner.ifname == owner_.ifname) return false;
    return !pool_.holds().expired(hold, *config_.release.sticky);
  }
  return false;
}

std::optional<Allocator::Choice> Allocator::take_own(const RangeSet& set, std::size_t set_id) {
  for (const Owner& owner : {owner_, Owner{.container_id = owner_.container_id}}) {
    for (const inet::Address& address : pool_.addresses_of(owner)) {
      const Range* range = set.find(address);
      if (range == nullptr) continue;
      if (belongs_to_living({.address = address, .owner = owner})) {
        refuse(set_id,
               fmt::format("{} has been allocated to {}, duplicate allocation is not allowed",
                           address.text(), owner_.container_id),
               pool_.store().directory().path_of(address.text()));
      }
      if (owner == owner_ && address != range->gateway) {
        return Choice{.address = address, .range = range, .set_id = set_id, .exists = true};
      }
      pool_.release(address, owner, Release{});
    }
  }
  return std::nullopt;
}

std::optional<Allocator::Choice> Allocator::take_held(const RangeSet& set, std::size_t set_id) {
  if (!config_.release.sticky) return std::nullopt;
  const auto hold = pool_.holds().find(stamp_.pod, owner_.ifname);
  if (!hold) return std::nullopt;
  for (const inet::Address& address : hold->addresses) {
    const Range* range = set.find(address);
    if (range == nullptr || address == range->gateway) continue;
    const Store::Entry entry = pool_.store().look_up(address);
    if (entry.use == Store::Use::kForeign) continue;
    if (entry.use == Store::Use::kReserved) {
      // Of the pod's last container, which ended without a DEL; or of somebody who knows of no
      // holds.
      const bool dead = config_.reclaim && entry.owner == hold->owner &&
                        !belongs_to_living({.address = address, .owner = entry.owner});
      if (!dead) continue;
      pool_.release(address, entry.owner, Release{});
    }
    return Choice{.address = address, .range = range, .set_id = set_id};
  }
  return std::nullopt;
}

Allocator::Choice Allocator::search(const RangeSet& set, std::size_t set_id) {
  auto found = search_from_pointer(set, set_id);
  if (!found && config_.reclaim) {
    pool_.reclaim(config_.release, is_many(set));
    found = search_from_pointer(set, set_id);
  }
  if (!found) {
    found = pool_.cooldown().take_oldest([&](const inet::Address& address) {
      const Range* range = set.find(address);
      return range != nullptr && DynamicPart(*range, config_.reserved).contains(address) &&
             pool_.is_unused(address);
    });
  }
  if (!found) {
    refuse(set_id, fmt::format("no IP addresses available in range set: {}", set.text()));
  }
  return {.address = *found, .range = set.find(*found), .set_id = set_id};
}

std::optional<inet::Address> Allocator::search_from_pointer(const RangeSet& set,
                                                            std::size_t set_id) {
  for (const Part& part : parts_of(set, pool_.store().find_last_reserved(set_id))) {
    const DynamicPart dynamic(*part.range, config_.reserved);
    const auto found = dynamic.find_first(
        part.interval, [&](const Interval& interval) { return pool_.find_free(interval); });
    if (found) return found;
  }
  return std::nullopt;
}

bool Allocator::reserve(const std::vector<Choice>& choices, Undo& undo) {
  // Rolls back under the lock; what it holds moves on to `undo` at the end.
  Undo here;
  for (const Choice& choice : choices) {
    if (choice.exists) {
      pool_.stamp_again(choice.address, owner_, stamp_);
      continue;
    }
    if (!pool_.reserve(choice.address, owner_, stamp_)) return false;
    here.add(fmt::format("release {}", choice.address.text()),
             [this, choice] { pool_.release(choice.address, owner_, Release{}); });
  }
  if (config_.release.sticky && !stamp_.pod.empty()) {
    const auto old = pool_.holds().find(stamp_.pod, owner_.ifname);
    Hold hold{.pod = stamp_.pod, .owner = owner_, .addresses = {}};
    for (const Choice& choice : choices) hold.addresses.push_back(choice.address);
    pool_.put_hold(hold);
    undo.add(fmt::format("give back the hold of {}", stamp_.pod),
             [place = config_.place, hold = old.value_or(hold), existed = old.has_value()] {
               hold_again(place, hold, existed);
             });
  }
  here.commit();
  for (const Choice& choice : choices) {
    if (choice.exists) continue;
    pool_.store().set_last_reserved(choice.set_id, choice.address);
    undo.add(fmt::format("release {}", choice.address.text()),
             [place = config_.place, owner = owner_, address = choice.address] {
               release_again(place, owner, address);
             });
  }
  return true;
}

}  // namespace cni::host_local
