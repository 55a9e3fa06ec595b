#include "address_set.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <charconv>
#include <vector>

namespace cni::host_local {
namespace {

constexpr mode_t kFileMode = 0600;
constexpr mode_t kDirectoryMode = 0755;

std::uint8_t mask(std::size_t place) {
  return static_cast<std::uint8_t>(1U << (place % 8U));
}

}  // namespace

AddressSet::Key AddressSet::key_of(const inet::Address& address) {
  return {.family = address.family(), .high = address.bits() >> kBitsOfPlace};
}

std::size_t AddressSet::place_of(const inet::Address& address) {
  return static_cast<std::size_t>(address.bits()) & ((std::size_t{1} << kBitsOfPlace) - 1);
}

// "4-1402" or "6-1fa0000...": family and key in hex.
std::string AddressSet::file_name(const Key& key) {
  return fmt::format("{}-{:x}", key.family == inet::Family::kIpv4 ? 4 : 6, key.high);
}

std::optional<AddressSet::Key> AddressSet::parse_file_name(std::string_view name) {
  if (name.size() < 3 || name.size() > 34 || name[1] != '-') return std::nullopt;
  if (name[0] != '4' && name[0] != '6') return std::nullopt;
  Key key{.family = name[0] == '4' ? inet::Family::kIpv4 : inet::Family::kIpv6, .high = 0};
  for (const char digit : name.substr(2)) {
    unsigned value = 0;
    if (std::from_chars(&digit, &digit + 1, value, 16).ec != std::errc{}) return std::nullopt;
    key.high = key.high << 4U | value;
  }
  return file_name(key) == name ? std::optional(key) : std::nullopt;
}

AddressSet::Chunk* AddressSet::find_chunk(const Key& key) {
  const auto known = chunks_.find(key);
  if (known != chunks_.end()) return known->second ? &*known->second : nullptr;
  std::optional<Chunk> chunk;
  if (files_ && !cleared_) {
    const state::Found found = files_->read(file_name(key), kBytes);
    if (found.kind == state::Kind::kForeign || !found.complete) damaged_ = true;
    if (found.kind == state::Kind::kFile && found.complete) {
      chunk.emplace();
      std::ranges::copy(found.content, chunk->bits.begin());
    }
  }
  auto& loaded = chunks_[key] = chunk;
  return loaded ? &*loaded : nullptr;
}

bool AddressSet::contains(const inet::Address& address) {
  const Chunk* chunk = find_chunk(key_of(address));
  const std::size_t place = place_of(address);
  return chunk != nullptr && (chunk->bits[place / 8] & mask(place)) != 0;
}

void AddressSet::set(const inet::Address& address, bool present) {
  if (contains(address) == present) return;
  Chunk* chunk = find_chunk(key_of(address));
  if (chunk == nullptr) chunk = &chunks_[key_of(address)].emplace();
  const std::size_t place = place_of(address);
  chunk->bits[place / 8] ^= mask(place);
  chunk->dirty_from = std::min(chunk->dirty_from, place / 8);
  chunk->dirty_to = std::max(chunk->dirty_to, place / 8 + 1);
}

inet::Bits AddressSet::count(const Interval& interval) {
  if (files_ && !cleared_) {
    for (const std::string& name : files_->names()) {
      if (const auto key = parse_file_name(name)) find_chunk(*key);
    }
  }
  inet::Bits count = 0;
  const Key first = key_of(interval.first);
  const Key last = key_of(interval.last);
  for (auto entry = chunks_.lower_bound(first); entry != chunks_.end() && entry->first <= last;
       ++entry) {
    if (!entry->second) continue;
    const auto& bits = entry->second->bits;
    std::size_t from = entry->first == first ? place_of(interval.first) : 0;
    const std::size_t to = entry->first == last ? place_of(interval.last) + 1 : kBytes * 8;
    while (from < to) {
      if (from % 8 == 0 && to - from >= 8) {
        count += static_cast<unsigned>(std::popcount(bits[from / 8]));
        from += 8;
      } else {
        count += (bits[from / 8] & mask(from)) != 0 ? 1U : 0U;
        ++from;
      }
    }
  }
  return count;
}

void AddressSet::clear() {
  chunks_.clear();
  cleared_ = true;
  damaged_ = false;
}

void AddressSet::save(const state::DirectoryStore& parent, const std::string& name) {
  const bool changed = std::ranges::any_of(
      chunks_, [](const auto& entry) { return entry.second && entry.second->dirty_to != 0; });
  if (!files_ && !changed) return;
  if (!files_) files_ = parent.ensure_below(name, kDirectoryMode);
  if (cleared_) {
    for (const std::string& old : files_->names()) files_->delete_if_exists(old);
  }
  for (auto& [key, chunk] : chunks_) {
    if (!chunk || chunk->dirty_to == 0) continue;
    const std::string_view bytes(reinterpret_cast<const char*>(chunk->bits.data()), kBytes);
    files_->write_at(file_name(key), chunk->dirty_from,
                     bytes.substr(chunk->dirty_from, chunk->dirty_to - chunk->dirty_from),
                     kFileMode);
    chunk->dirty_from = kBytes;
    chunk->dirty_to = 0;
  }
  cleared_ = false;
}

std::optional<inet::Address> AddressSet::find_absent(std::span<AddressSet* const> sets,
                                                     const Interval& interval) {
  const Key last = key_of(interval.last);
  for (Key key = key_of(interval.first);; ++key.high) {
    std::array<std::uint8_t, kBytes> taken{};
    bool any = false;
    for (AddressSet* set : sets) {
      const Chunk* chunk = set->find_chunk(key);
      if (chunk == nullptr) continue;
      any = true;
      for (std::size_t at = 0; at < kBytes; ++at) taken[at] |= chunk->bits[at];
    }
    std::size_t place = key == key_of(interval.first) ? place_of(interval.first) : 0;
    const std::size_t end = key == last ? place_of(interval.last) + 1 : kBytes * 8;
    const auto found = [&] {
      return inet::Address::from_bits(key.family, key.high << kBitsOfPlace | place);
    };
    if (!any) return found();
    while (place < end) {
      if (place % 8 == 0 && taken[place / 8] == 0xff) {
        place += 8;
      } else if ((taken[place / 8] & mask(place)) != 0) {
        ++place;
      } else {
        return found();
      }
    }
    if (key == last) return std::nullopt;
  }
}

}  // namespace cni::host_local
