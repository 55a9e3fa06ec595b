// Sticky addresses: after its attachment has ended, an address is held for the pod it belonged to.
//
//   <dataDir>/.plumb/<network>/sticky/<digest>   a hold for each pod and interface name
//   <dataDir>/.plumb/<network>/held/<chunk>      one bit for each address that is held
//
// The first outlive a loss of power, the second follow from them.
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <vector>

#include "address_set.h"
#include "inet/address.h"
#include "state/directory_store.h"
#include "store.h"

namespace cni::host_local {

// A moment on CLOCK_BOOTTIME.
struct Moment {
  std::string boot;
  std::chrono::nanoseconds since_boot;
};

struct Hold {
  std::string pod;  // "namespace/name"
  Owner owner;      // of the pod's last attachment with this interface name
  std::vector<inet::Address> addresses;
  std::optional<Moment> released = std::nullopt;  // nothing while the attachment has them
};

class Holds {
 public:
  Holds(const state::DirectoryStore* own, std::string boot);

  // Addresses that are held and that nobody uses.
  AddressSet& held() { return held_; }

  std::optional<Hold> find(const std::string& pod, const std::string& ifname) const;
  std::vector<Hold> all() const;
  // A hold whose `released` belongs to an earlier boot has its whole time before it.
  bool expired(const Hold& hold, std::chrono::nanoseconds ttl) const;

  // Both write at once, and throw IoError.
  void put(const state::DirectoryStore& own, const Hold& hold);
  void drop(const Hold& hold);

  // Makes the bits anew from the holds.
  void recount();

  void save(const state::DirectoryStore& own);

 private:
  static std::string file_name(const std::string& pod, const std::string& ifname);
  std::optional<Hold> read(const std::string& name) const;

  std::string boot_;
  std::optional<state::DirectoryStore> files_;
  AddressSet held_;
};

}  // namespace cni::host_local
