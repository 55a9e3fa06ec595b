#include "cooldown.h"

#include <algorithm>
#include <cstdint>
#include <cstring>

#include "stamp.h"

namespace cni::host_local {
namespace {

constexpr mode_t kFileMode = 0600;
constexpr const char* kQueue = "queue";
constexpr const char* kCooling = "cooling";
constexpr std::size_t kHeaderSize = 64;
constexpr std::size_t kEntrySize = 32;
constexpr std::size_t kFamilyAt = 8;
constexpr std::size_t kAddressAt = 16;
// Entries that are read, and ended by one drain(), at a time.
constexpr std::size_t kBatch = 256;
// So many entries that are done with are worth writing the queue anew.
constexpr std::size_t kMuchDone = 4096;

void put_number(std::string& bytes, std::size_t at, std::uint64_t number) {
  std::memcpy(bytes.data() + at, &number, sizeof number);
}

std::uint64_t get_number(std::string_view bytes, std::size_t at) {
  std::uint64_t number = 0;
  std::memcpy(&number, bytes.data() + at, sizeof number);
  return number;
}

}  // namespace

Cooldown::Cooldown(const state::DirectoryStore* own, std::string boot)
    : boot_(std::move(boot)),
      own_(own),
      cooling_(own == nullptr ? std::nullopt : own->find_below(kCooling)) {
  if (own_ == nullptr) return;
  const state::Found found = own_->read(kQueue, kHeaderSize);
  if (found.kind == state::Kind::kAbsent) return;
  std::string own_header = header();
  own_header.resize(kHeaderSize - sizeof(std::uint64_t));
  if (found.content.size() != kHeaderSize || !found.content.starts_with(own_header)) {
    // Of another boot, or not ours at all: nothing rests.
    header_changed_ = true;
    cooling_.clear();
    return;
  }
  count_ = (found.size - kHeaderSize) / kEntrySize;
  head_ = std::min<std::uint64_t>(count_,
                                  get_number(found.content, kHeaderSize - sizeof(std::uint64_t)));
}

std::string Cooldown::header() const {
  std::string bytes = boot_;
  bytes.resize(kHeaderSize, '\0');
  put_number(bytes, kHeaderSize - sizeof(std::uint64_t), head_);
  return bytes;
}

std::string Cooldown::bytes(const Entry& entry) {
  std::string bytes(kEntrySize, '\0');
  put_number(bytes, 0, static_cast<std::uint64_t>(entry.released.count()));
  if (entry.address) {
    bytes[kFamilyAt] = static_cast<char>(entry.address->family());
    const auto address = entry.address->bytes();
    std::memcpy(bytes.data() + kAddressAt, address.data(), address.size());
  }
  return bytes;
}

Cooldown::Entry Cooldown::parse_entry(std::string_view bytes) {
  Entry entry{.released = std::chrono::nanoseconds(get_number(bytes, 0)), .address = {}};
  const auto family = static_cast<inet::Family>(bytes[kFamilyAt]);
  if (family == inet::Family::kIpv4 || family == inet::Family::kIpv6) {
    entry.address = inet::Address::from_bytes(family, bytes.data() + kAddressAt);
  }
  return entry;
}

std::vector<Cooldown::Entry> Cooldown::read_entries(std::size_t from) const {
  std::vector<Entry> entries;
  if (own_ == nullptr || from >= count_) return entries;
  const state::Found found =
      own_->read(kQueue, kBatch * kEntrySize, kHeaderSize + from * kEntrySize);
  const std::string_view bytes = found.content;
  for (std::size_t at = 0; at + kEntrySize <= bytes.size(); at += kEntrySize) {
    entries.push_back(parse_entry(bytes.substr(at, kEntrySize)));
  }
  return entries;
}

void Cooldown::find_waiting(
    const std::function<bool(std::size_t, const inet::Address&)>& visit) const {
  std::size_t number = head_;
  for (auto batch = read_entries(number); !batch.empty(); batch = read_entries(number)) {
    for (const Entry& entry : batch) {
      const bool waits = entry.address && std::ranges::find(voided_, number) == voided_.end();
      if (waits && visit(number, *entry.address)) return;
      ++number;
    }
  }
}

void Cooldown::push(const inet::Address& address) {
  forget(address);
  cooling_.insert(address);
  pushed_.push_back({.released = since_boot(), .address = address});
}

void Cooldown::drain(std::chrono::nanoseconds span) {
  const auto now = since_boot();
  for (const Entry& entry : read_entries(head_)) {
    // A moment before the start of the kernel, or one to come, is garbage.
    const bool possible = entry.released >= std::chrono::nanoseconds{0} && entry.released <= now;
    if (entry.address && possible && now - entry.released < span) break;
    if (entry.address) cooling_.erase(*entry.address);
    ++head_;
    header_changed_ = true;
  }
}

std::optional<inet::Address> Cooldown::take_oldest(
    const std::function<bool(const inet::Address&)>& wanted) {
  std::optional<inet::Address> taken;
  find_waiting([&](std::size_t number, const inet::Address& address) {
    if (!wanted(address)) return false;
    voided_.push_back(number);
    taken = address;
    return true;
  });
  if (taken) cooling_.erase(*taken);
  return taken;
}

void Cooldown::forget(const inet::Address& address) {
  if (!cooling_.contains(address)) return;
  take_oldest([&](const inet::Address& other) { return other == address; });
  cooling_.erase(address);
}

void Cooldown::renew() {
  cooling_.clear();
  find_waiting([&](std::size_t, const inet::Address& address) {
    cooling_.insert(address);
    return false;
  });
}

void Cooldown::compact(const state::DirectoryStore& own) {
  std::string waiting;
  std::size_t number = head_;
  for (auto batch = read_entries(number); !batch.empty(); batch = read_entries(number)) {
    for (const Entry& entry : batch) waiting += bytes(entry);
    number += batch.size();
  }
  head_ = 0;
  count_ = waiting.size() / kEntrySize;
  own.replace(kQueue, header() + waiting, kFileMode);
}

void Cooldown::save(const state::DirectoryStore& own) {
  cooling_.save(own, kCooling);
  for (const std::size_t number : voided_) {
    own.write_at(kQueue, kHeaderSize + number * kEntrySize, std::string(kEntrySize, 0), kFileMode);
  }
  voided_.clear();
  if (pushed_.empty() && !header_changed_) return;
  own_ = &own;
  if (head_ == count_ || (head_ >= kMuchDone && head_ >= count_ / 2)) {
    compact(own);
  } else if (header_changed_) {
    own.write_at(kQueue, 0, header(), kFileMode);
  }
  std::string added;
  for (const Entry& entry : pushed_) added += bytes(entry);
  own.write_at(kQueue, kHeaderSize + count_ * kEntrySize, added, kFileMode);
  count_ += pushed_.size();
  pushed_.clear();
  header_changed_ = false;
}

}  // namespace cni::host_local
