#include "index.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/digest.h"
#include "base/text.h"

namespace cni::host_local {
namespace {

constexpr mode_t kFileMode = 0600;
constexpr mode_t kDirectoryMode = 0755;
constexpr std::size_t kLongestRecord = 65536;
constexpr const char* kOwners = "owners";
constexpr const char* kUsed = "used";
constexpr const char* kComplete = "complete";

std::optional<state::Mark> parse_mark(const std::string& text) {
  const std::vector<std::string> parts = split(text, '.');
  if (parts.size() != 2) return std::nullopt;
  const auto seconds = parse_number<std::int64_t>(parts[0]);
  const auto nanoseconds = parse_number<std::int64_t>(parts[1]);
  if (!seconds || !nanoseconds) return std::nullopt;
  return state::Mark{.seconds = *seconds, .nanoseconds = *nanoseconds};
}

std::string text(const state::Mark& mark) {
  return fmt::format("{}.{}", mark.seconds, mark.nanoseconds);
}

std::optional<state::DirectoryStore> find_below(const state::DirectoryStore* directory,
                                                const char* name) {
  return directory == nullptr ? std::nullopt : directory->find_below(name);
}

}  // namespace

Index::Index(const Store& store, const state::DirectoryStore* own, std::string boot)
    : store_(store),
      boot_(std::move(boot)),
      owners_(find_below(own, kOwners)),
      used_(find_below(own, kUsed)) {
  if (own == nullptr) return;
  const state::Found found = own->read(kComplete, 4096);
  if (found.kind != state::Kind::kFile) return;
  // "<boot> <mark> <mark of the records>\n"
  const std::vector<std::string> lines = split(found.content, '\n');
  const std::vector<std::string> fields = split(lines.front(), ' ');
  if (lines.size() != 2 || fields.size() != 3) return;
  saved_boot_ = fields[0];
  saved_mark_ = parse_mark(fields[1]);
  saved_owners_mark_ = parse_mark(fields[2]);
  complete_ = saved_boot_ == boot_ && is_vouched_for();
}

bool Index::is_vouched_for() const {
  return owners_ && saved_mark_ == store_.directory().mark() &&
         saved_owners_mark_ == owners_->mark();
}

std::string Index::file_name(const Owner& owner) {
  return sha512_hex(text(owner), 40);
}

std::optional<Record> Index::read_record(const std::string& name, bool& torn) const {
  torn = false;
  if (!owners_) return std::nullopt;
  const state::Found found = owners_->read(name, kLongestRecord);
  if (found.kind == state::Kind::kAbsent) return std::nullopt;
  auto record = found.kind == state::Kind::kFile && found.complete ? parse_record(found.content)
                                                                   : std::nullopt;
  torn = !record;
  return record;
}

std::optional<Record> Index::find_record(const Owner& owner) {
  const std::string name = file_name(owner);
  if (const auto known = records_.find(name); known != records_.end()) return known->second.record;
  if (rebuilt_) return std::nullopt;
  bool torn = false;
  auto record = read_record(name, torn);
  if (torn) complete_ = false;
  return record;
}

Stamp Index::known_stamp(const std::optional<Record>& record, bool torn,
                         const inet::Address& address) const {
  if (record && std::ranges::find(record->addresses, address) != record->addresses.end()) {
    return record->stamp;
  }
  Stamp stamp;
  stamp.boot = boot_;
  // Its content was lost with the power, so it was written in an earlier boot.
  if (torn && from_other_boot()) stamp.boot.clear();
  return stamp;
}

Store::Contents Index::rebuild() {
  Store::Contents contents = store_.read_all();
  used_.clear();
  for (const inet::Address& address : contents.foreign) used_.insert(address);
  std::map<std::string, std::vector<inet::Address>> addresses;
  for (const Reservation& reservation : contents.reservations) {
    used_.insert(reservation.address);
    addresses[file_name(reservation.owner)].push_back(reservation.address);
  }
  std::map<std::string, Known> records;
  for (auto& [name, found] : addresses) {
    // In one order, so that a record that is right stays as it is.
    std::ranges::sort(found);
    bool torn = false;
    std::optional<Record> old = read_record(name, torn);
    if (old) std::ranges::sort(old->addresses);
    Record record = {.stamp = known_stamp(old, torn, found.front()), .addresses = found};
    const bool saved = old == record;
    records[name] = {.record = std::move(record), .saved = saved};
  }
  records_ = std::move(records);
  rebuilt_ = true;
  complete_ = true;
  return contents;
}

void Index::add(const Owner& owner, const inet::Address& address, const Stamp& stamp) {
  used_.insert(address);
  Record record = find_record(owner).value_or(Record{});
  record.stamp = stamp;
  std::erase(record.addresses, address);
  record.addresses.push_back(address);
  records_[file_name(owner)] = {.record = std::move(record)};
}

void Index::remove(const Owner& owner, const inet::Address& address) {
  used_.erase(address);
  auto record = find_record(owner);
  if (!record) return;
  std::erase(record->addresses, address);
  if (record->addresses.empty()) record.reset();
  records_[file_name(owner)] = {.record = std::move(record)};
}

void Index::save(const state::DirectoryStore& own) {
  // From here until the end nothing vouches for what is on disk. A file system that cannot hold
  // the mark never gets an index that counts, which is slow but right.
  const auto mark = store_.directory().set_new_mark();
  if (!owners_) owners_ = own.ensure_below(kOwners, kDirectoryMode);
  used_.save(own, kUsed);
  if (rebuilt_) {
    for (const std::string& name : owners_->names()) {
      const auto known = records_.find(name);
      if (known == records_.end()) owners_->delete_if_exists(name);
    }
  }
  for (const auto& [name, known] : records_) {
    if (known.saved) continue;
    if (known.record) {
      owners_->replace(name, text(*known.record), kFileMode);
    } else {
      owners_->delete_if_exists(name);
    }
  }
  records_.clear();
  rebuilt_ = false;
  const auto owners_mark = owners_->set_new_mark();
  if (!mark || !owners_mark) return;
  own.overwrite(kComplete, fmt::format("{} {} {}\n", boot_, text(*mark), text(*owners_mark)),
                kFileMode);
}

}  // namespace cni::host_local
