#include "pool.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "base/error.h"
#include "base/log.h"
#include "base/text.h"

namespace cni::host_local {
namespace {

using std::chrono::nanoseconds;

constexpr const char* kOwnDirectory = ".plumb";
constexpr mode_t kDirectoryMode = 0755;
constexpr mode_t kFileMode = 0600;
// "<boot> <end> <duration>" of the last reclaim() on a large pool, in nanoseconds; on a small one,
// of the first in this boot.
constexpr const char* kReclaimed = "reclaimed";
// reclaim() looks at every reservation; of a large pool it takes at most this part of the time.
constexpr int kReclaimShare = 30;
constexpr nanoseconds kReclaimPause = std::chrono::seconds(1);

const state::DirectoryStore* pointer(const std::optional<state::DirectoryStore>& directory) {
  return directory ? &*directory : nullptr;
}

std::optional<state::DirectoryStore> find_own(const Place& place) {
  const auto data = state::DirectoryStore::find(place.data_dir);
  const auto all = data ? data->find_below(kOwnDirectory) : std::nullopt;
  return all ? all->find_below(place.network) : std::nullopt;
}

std::string text_of(const Owner& owner) {
  return owner.ifname.empty() ? owner.container_id
                              : fmt::format("{} {}", owner.container_id, owner.ifname);
}

// When reclaim() may run again on a large pool; nothing if it has not run in this boot, or the note
// about that is garbage.
std::optional<nanoseconds> next_reclaim(const std::string& text, const std::string& boot) {
  const std::vector<std::string> fields = split(text, ' ');
  if (fields.size() != 3 || fields[0] != boot) return std::nullopt;
  const auto end = parse_number<std::int64_t>(fields[1]);
  const auto duration = parse_number<std::int64_t>(fields[2]);
  if (!end || *end < 0 || nanoseconds(*end) > since_boot()) return std::nullopt;
  if (!duration || *duration < 0 || nanoseconds(*duration) > std::chrono::minutes(1)) {
    return std::nullopt;
  }
  return nanoseconds(*end) + std::max(kReclaimPause, kReclaimShare * nanoseconds(*duration));
}

}  // namespace

Pool::Pool(Store store, const Place& place)
    : store_(std::move(store)),
      place_(place),
      own_(find_own(place)),
      index_(store_, pointer(own_), liveness_.boot()),
      holds_(pointer(own_), liveness_.boot()),
      cooldown_(pointer(own_), liveness_.boot()) {}

const state::DirectoryStore& Pool::own() {
  if (!own_) {
    own_ = state::DirectoryStore::ensure(place_.data_dir, kDirectoryMode)
               .ensure_below(kOwnDirectory, kDirectoryMode)
               .ensure_below(place_.network, kDirectoryMode);
  }
  return *own_;
}

void Pool::put_hold(const Hold& hold) {
  try {
    holds_.put(own(), hold);
  } catch (const IoError& error) {
    log::warning("{}, ignoring: the pod {} may get another address next time", error.what(),
                 hold.pod);
  }
}

void Pool::drop_hold(const Hold& hold) {
  try {
    holds_.drop(hold);
  } catch (const IoError& error) {
    log::warning("{}, ignoring: the addresses of the pod {} stay held", error.what(), hold.pod);
  }
}

const Store::Contents& Pool::read_again() {
  contents_ = index_.rebuild();
  return *contents_;
}

void Pool::settle() {
  if (index_.complete()) return;
  read_again();
  save();
}

void Pool::trust_index() {
  if (!index_.complete()) read_again();
}

std::vector<inet::Address> Pool::addresses_of(const Owner& owner) {
  trust_index();
  auto record = index_.find_record(owner);
  const auto is_true = [&](const inet::Address& address) {
    const Store::Entry entry = store_.look_up(address);
    return entry.use == Store::Use::kReserved && entry.owner == owner;
  };
  // A record that cannot be read, or that the files contradict: the index is of no use.
  if (!index_.complete() || (record && !std::ranges::all_of(record->addresses, is_true))) {
    read_again();
    record = index_.find_record(owner);
  }
  return record ? record->addresses : std::vector<inet::Address>{};
}

void Pool::add_residents() {
  if (residents_known_) return;
  residents_known_ = true;
  if (!contents_) read_again();
  for (const Reservation& reservation : contents_->reservations) {
    const auto record = index_.find_record(reservation.owner);
    if (record) {
      liveness_.add_resident_if_confirmed(record->stamp, reservation.owner.container_id);
    }
  }
}

Lease Pool::lease(const Reservation& reservation) {
  trust_index();
  auto record = index_.find_record(reservation.owner);
  if (!record) {
    read_again();
    record = index_.find_record(reservation.owner);
  }
  // Without a record nothing is known about it, least of all that it is dead.
  const Stamp stamp = record ? record->stamp : Stamp{.boot = liveness_.boot()};
  Life life = liveness_.judge(stamp, reservation.owner, reservation.address);
  if (life == Life::kAlive && !residents_known_ && liveness_.depends_on_residents(stamp)) {
    add_residents();
    life = liveness_.judge(stamp, reservation.owner, reservation.address);
  }
  return {.reservation = reservation, .stamp = stamp, .life = life};
}

std::vector<Lease> Pool::leases() {
  if (!contents_) read_again();
  add_residents();
  std::vector<Lease> leases;
  for (const Reservation& reservation : contents_->reservations) {
    leases.push_back(lease(reservation));
  }
  return leases;
}

std::optional<inet::Address> Pool::find_absent(std::span<AddressSet* const> sets,
                                               const Interval& interval) {
  trust_index();
  const auto found = AddressSet::find_absent(sets, interval);
  if (index_.complete()) return found;
  // Part of it could not be read.
  read_again();
  return AddressSet::find_absent(sets, interval);
}

std::optional<inet::Address> Pool::find_unused(const Interval& interval) {
  const std::array<AddressSet*, 2> taken = {&index_.used(), &holds_.held()};
  return find_absent(taken, interval);
}

std::optional<inet::Address> Pool::find_free(const Interval& interval) {
  const std::array<AddressSet*, 3> taken = {&index_.used(), &holds_.held(), &cooldown_.cooling()};
  return find_absent(taken, interval);
}

bool Pool::is_unused(const inet::Address& address) {
  return find_unused({.first = address, .last = address}).has_value();
}

AddressSet& Pool::used() {
  trust_index();
  return index_.used();
}

bool Pool::reserve(const inet::Address& address, const Owner& owner, const Stamp& stamp) {
  trust_index();
  if (!store_.reserve(address, owner)) return false;
  index_.add(owner, address, stamp);
  cooldown_.forget(address);
  return true;
}

void Pool::stamp_again(const inet::Address& address, const Owner& owner, const Stamp& stamp) {
  index_.add(owner, address, stamp);
}

bool Pool::release(const inet::Address& address, const Owner& owner, const Release& release) {
  trust_index();
  const Stamp stamp = index_.find_record(owner).value_or(Record{}).stamp;
  if (!store_.release(address, owner)) return false;
  index_.remove(owner, address);
  hold_or_cool(address, owner, stamp, release);
  return true;
}

void Pool::hold_or_cool(const inet::Address& address, const Owner& owner, const Stamp& stamp,
                        const Release& release) {
  if (release.sticky && !stamp.pod.empty()) {
    Hold hold = holds_.find(stamp.pod, owner.ifname)
                    .value_or(Hold{.pod = stamp.pod, .owner = owner, .addresses = {}});
    // Otherwise a newer container of the pod has addresses of its own.
    if (hold.owner == owner) {
      std::erase(hold.addresses, address);
      hold.addresses.push_back(address);
      hold.released = {.boot = liveness_.boot(), .since_boot = since_boot()};
      put_hold(hold);
      return;
    }
  }
  if (release.cooldown > nanoseconds{0}) cooldown_.push(address);
}

std::string Pool::reclaim_note() const {
  return own_ ? own_->read(kReclaimed, 256).content : std::string();
}

bool Pool::reclaimed_in_this_boot() const {
  return reclaim_note().starts_with(liveness_.boot() + ' ');
}

void Pool::free_dead(const Release& release) {
  // Whoever is dead released the address long ago; only a pod may still want it.
  const Release without_rest{.sticky = release.sticky};
  for (const Lease& lease : leases()) {
    if (lease.life != Life::kDead) continue;
    const Reservation& dead = lease.reservation;
    if (this->release(dead.address, dead.owner, without_rest)) {
      log::info("reclaimed {} of {}, which is gone", dead.address.text(), text_of(dead.owner));
    }
  }
  end_holds(release);
  cooldown_.renew();
  contents_.reset();
  save();
}

void Pool::reclaim(const Release& release, bool many) {
  const bool first = !reclaimed_in_this_boot();
  if (many && !first) {
    const auto next = next_reclaim(reclaim_note(), liveness_.boot());
    if (next && since_boot() < *next) return;
  }
  const auto start = since_boot();
  free_dead(release);
  const auto end = since_boot();
  if (!many && !first) return;
  try {
    own().overwrite(kReclaimed,
                    fmt::format("{} {} {}", liveness_.boot(), end.count(), (end - start).count()),
                    kFileMode);
  } catch (const IoError& error) {
    log::warning("{}, ignoring: dead attachments may be looked for too often", error.what());
  }
}

void Pool::end_holds(const Release& release) {
  const nanoseconds ttl = release.sticky.value_or(nanoseconds{0});
  holds_.recount();
  for (Hold hold : holds_.all()) {
    // Released in an earlier boot, or by somebody who knows of no holds: its time starts now.
    const bool starts =
        hold.released ? hold.released->boot != liveness_.boot() : addresses_of(hold.owner).empty();
    if (starts) {
      hold.released = {.boot = liveness_.boot(), .since_boot = since_boot()};
      put_hold(hold);
    }
    if (holds_.expired(hold, ttl)) drop_hold(hold);
  }
}

void Pool::save() {
  try {
    holds_.save(own());
    cooldown_.save(own());
    index_.save(own());
  } catch (const IoError& error) {
    log::warning("{}, ignoring: the next call reads every reservation", error.what());
  }
}

}  // namespace cni::host_local
