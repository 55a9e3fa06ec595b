// The addresses of one network while its lock is held: the reservations, the index over them, and
// the addresses that are free but not to be given away yet.
//
// Reservations and holds are written at once, everything else with save().
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "config.h"
#include "cooldown.h"
#include "holds.h"
#include "index.h"
#include "liveness.h"
#include "stamp.h"
#include "store.h"

namespace cni::host_local {

// A reservation and what is known about its attachment.
struct Lease {
  Reservation reservation;
  Stamp stamp;
  Life life;
};

class Pool {
 public:
  // `store` holds the lock. Nothing is written before save().
  Pool(Store store, const Place& place);
  Pool(const Pool&) = delete;
  Pool& operator=(const Pool&) = delete;

  const Store& store() const { return store_; }
  Holds& holds() { return holds_; }
  // A failure to write is logged.
  void put_hold(const Hold& hold);
  void drop_hold(const Hold& hold);
  Cooldown& cooldown() { return cooldown_; }
  Liveness& liveness() { return liveness_; }

  // Makes the index complete, on disk too.
  void settle();
  // Reads all reservations again, whatever the index says.
  const Store::Contents& read_again();

  // Of exactly this owner, as the files say.
  std::vector<inet::Address> addresses_of(const Owner& owner);

  Lease lease(const Reservation& reservation);
  // Every reservation, judged.
  std::vector<Lease> leases();

  // The first address that is neither reserved nor held.
  std::optional<inet::Address> find_unused(const Interval& interval);
  // The first of these that does not rest either.
  std::optional<inet::Address> find_free(const Interval& interval);
  bool is_unused(const inet::Address& address);
  AddressSet& used();

  // Returns false if it is reserved, or its name is taken by something foreign.
  bool reserve(const inet::Address& address, const Owner& owner, const Stamp& stamp);
  // A reservation that exists becomes one of a new attachment of the same owner.
  void stamp_again(const inet::Address& address, const Owner& owner, const Stamp& stamp);

  // Ends a reservation of `owner`; `release` says what becomes of the address. Returns whether
  // there was one.
  bool release(const inet::Address& address, const Owner& owner, const Release& release);

  // Whether reclaim() has run since the machine started.
  bool reclaimed_in_this_boot() const;
  // Frees what belongs to dead attachments, and holds that have expired, and saves; but not if
  // there are `many` addresses and the last time was only just now.
  void reclaim(const Release& release, bool many);

  // What goes wrong is logged: the reservations count, the rest can be found again.
  void save();

 private:
  // Made if need be.
  const state::DirectoryStore& own();
  void trust_index();
  std::optional<inet::Address> find_absent(std::span<AddressSet* const> sets,
                                           const Interval& interval);
  void add_residents();
  void free_dead(const Release& release);
  // The text of the note about the last reclaim().
  std::string reclaim_note() const;
  void end_holds(const Release& release);
  void hold_or_cool(const inet::Address& address, const Owner& owner, const Stamp& stamp,
                    const Release& release);

  Store store_;
  Place place_;
  std::optional<state::DirectoryStore> own_;
  Liveness liveness_;
  Index index_;
  Holds holds_;
  Cooldown cooldown_;
  std::optional<Store::Contents> contents_;
  bool residents_known_ = false;
};

}  // namespace cni::host_local
