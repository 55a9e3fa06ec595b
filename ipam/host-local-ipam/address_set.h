// A set of addresses on disk with one bit for each, in files of 4 KiB for 32768 neighbours.
//
// A file that is not there is all zeros, so an empty /8 or ::/0 costs nothing. Files are read
// when they are needed, and only what changed is written.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "inet/address.h"
#include "range.h"
#include "state/directory_store.h"

namespace cni::host_local {

class AddressSet {
 public:
  // `files` may be nothing: the set starts out empty.
  explicit AddressSet(std::optional<state::DirectoryStore> files) : files_(std::move(files)) {}

  bool contains(const inet::Address& address);
  void insert(const inet::Address& address) { set(address, true); }
  void erase(const inet::Address& address) { set(address, false); }
  inet::Bits count(const Interval& interval);

  // Forgets what is on disk; save() replaces it.
  void clear();

  // Whether a file of the set is not what save() writes, so that the set cannot be believed.
  bool damaged() const { return damaged_; }

  // Writes the changes into `parent`/`name`. Throws IoError.
  void save(const state::DirectoryStore& parent, const std::string& name);

  // The first address of the interval that is in none of the sets.
  static std::optional<inet::Address> find_absent(std::span<AddressSet* const> sets,
                                                  const Interval& interval);

 private:
  static constexpr unsigned kBitsOfPlace = 15;
  static constexpr std::size_t kBytes = (std::size_t{1} << kBitsOfPlace) / 8;

  struct Key {
    inet::Family family;
    inet::Bits high;  // the address without its last 15 bits

    friend auto operator<=>(const Key&, const Key&) = default;
  };
  struct Chunk {
    std::array<std::uint8_t, kBytes> bits{};
    // The bytes that differ from the file.
    std::size_t dirty_from = kBytes;
    std::size_t dirty_to = 0;
  };

  static Key key_of(const inet::Address& address);
  static std::size_t place_of(const inet::Address& address);
  static std::string file_name(const Key& key);
  static std::optional<Key> parse_file_name(std::string_view name);

  void set(const inet::Address& address, bool present);
  // Nothing if it is all zeros.
  Chunk* find_chunk(const Key& key);

  std::optional<state::DirectoryStore> files_;
  std::map<Key, std::optional<Chunk>> chunks_;
  bool cleared_ = false;
  bool damaged_ = false;
};

}  // namespace cni::host_local
