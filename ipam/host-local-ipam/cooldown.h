// Released addresses that rest for a while before they are given away again:
//
//   <dataDir>/.plumb/<network>/cooling/<chunk>   one bit for each of them
//   <dataDir>/.plumb/<network>/queue             in the order of their release
//
// The queue starts with a header of 64 bytes: the boot ID, filled up with NULs, and in the last 8
// bytes how many entries are done with. An entry has 32 bytes: nanoseconds on CLOCK_BOOTTIME (8),
// the family 4 or 6 (1; 0 if the entry is void), nothing (7), the address in network order (16).
// Numbers are in the byte order of the machine. A reboot ends every cooldown.
#pragma once

#include <chrono>
#include <cstddef>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "address_set.h"
#include "inet/address.h"
#include "state/directory_store.h"

namespace cni::host_local {

class Cooldown {
 public:
  Cooldown(const state::DirectoryStore* own, std::string boot);

  AddressSet& cooling() { return cooling_; }

  // Starts now.
  void push(const inet::Address& address);

  // Ends the cooldown of addresses that have rested for `span`; only of so many at a time that the
  // cost stays small.
  void drain(std::chrono::nanoseconds span);

  // Ends the cooldown of the one that has rested longest of those that are `wanted`.
  std::optional<inet::Address> take_oldest(const std::function<bool(const inet::Address&)>& wanted);

  // Ends the cooldown of `address`, if there is one.
  void forget(const inet::Address& address);

  // Makes the bits anew from the queue.
  void renew();

  // Writes what was changed. Throws IoError.
  void save(const state::DirectoryStore& own);

 private:
  struct Entry {
    std::chrono::nanoseconds released;
    std::optional<inet::Address> address;  // nothing: void
  };

  static std::string bytes(const Entry& entry);
  static Entry parse_entry(std::string_view bytes);
  std::string header() const;
  // A few entries from number `from` on, as they are on disk; none at the end.
  std::vector<Entry> read_entries(std::size_t from) const;
  // Calls `visit` with the number of each entry that is not void; ends when it returns true.
  void find_waiting(
      const std::function<bool(std::size_t number, const inet::Address& address)>& visit) const;
  // All that wait move to the front.
  void compact(const state::DirectoryStore& own);

  std::string boot_;
  const state::DirectoryStore* own_;
  AddressSet cooling_;
  std::size_t head_ = 0;   // entries that are done with
  std::size_t count_ = 0;  // entries on disk
  bool header_changed_ = false;
  std::vector<Entry> pushed_;
  std::vector<std::size_t> voided_;
};

}  // namespace cni::host_local
