// The reservations of one network as they lie on disk, shared with the Go suite's host-local:
//
//   <dataDir>/<network>/lock                 flock(2); never written, replaced or deleted
//   <dataDir>/<network>/<IP>                 <container ID> CR LF <interface>, or in the old form
//                                            just <container ID>
//   <dataDir>/<network>/last_reserved_ip.N   the address range set N gave away last
//
// A file that is named as an IP and says nothing of this kind, for instance because its writer lost
// power, belongs to nobody: its address is free. Directories, links and the like are foreign:
// the address is taken, and they are left alone.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "inet/address.h"
#include "state/directory_store.h"
#include "state/file_lock.h"

namespace cni::host_local {

struct Owner {
  std::string container_id;
  std::string ifname = {};  // "" in the old form

  friend auto operator<=>(const Owner&, const Owner&) = default;
};

// The content of a reservation file.
std::string text(const Owner& owner);
// Nothing if it is no such content. Blanks around it do not matter.
std::optional<Owner> parse_owner(std::string_view content);

struct Reservation {
  inet::Address address;
  Owner owner;
};

class Store {
 public:
  // Opens and locks; makes the directory and the lock file.
  static Store ensure(const std::string& path);
  // The same without making the directory; nothing if there is none.
  static std::optional<Store> find_for_writing(const std::string& path);
  // Changes nothing on disk.
  static std::optional<Store> find_for_reading(const std::string& path);

  const state::DirectoryStore& directory() const { return directory_; }

  enum class Use { kFree, kTorn, kForeign, kReserved };
  struct Entry {
    Use use;
    Owner owner = {};  // if reserved
  };
  Entry look_up(const inet::Address& address) const;

  struct Contents {
    std::vector<Reservation> reservations;
    std::vector<inet::Address> torn;
    std::vector<inet::Address> foreign;
  };
  Contents read_all() const;

  // Returns false if somebody has the address, or something foreign its name.
  bool reserve(const inet::Address& address, const Owner& owner) const;
  // Returns whether `owner` had it.
  bool release(const inet::Address& address, const Owner& owner) const;
  void delete_torn(const inet::Address& address) const;

  // The pointer is a hint: one that cannot be read is absent.
  std::optional<inet::Address> find_last_reserved(std::size_t set_id) const;
  // A failure is logged.
  void set_last_reserved(std::size_t set_id, const inet::Address& address) const;

 private:
  Store(state::DirectoryStore directory, std::optional<state::FileLock> lock)
      : directory_(std::move(directory)), lock_(std::move(lock)) {}

  state::DirectoryStore directory_;
  std::optional<state::FileLock> lock_;
};

}  // namespace cni::host_local
