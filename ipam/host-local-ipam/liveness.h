// Whether the attachment behind a stamp is alive. Nothing is decided by time.
#pragma once

#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "inet/address.h"
#include "netns/holders.h"
#include "stamp.h"
#include "store.h"

namespace cni::host_local {

enum class Life {
  kAlive,
  kUnknown,  // this boot, and no namespace is known
  kDead,
};

// A view of the namespaces of this machine, as they are when it is first asked.
//
// An attachment is alive
// - while the plugin that delegated its ADD runs,
// - of this boot: if its path leads to its namespace; or if the namespace is held elsewhere, by
//   a process or a mount, and no other container is known to be in what may as well be a new
//   namespace with an old number,
// - of an earlier boot: if its path leads to its namespace all the same (only the boot ID was
//   changed) and, since numbers below /proc are soon used again, the address is configured there;
//   without a known namespace, if the address is configured anywhere on this machine.
class Liveness {
 public:
  Liveness();

  const std::string& boot() const { return boot_; }

  // `container_id` is in `netns` for certain.
  void add_resident(const NetnsId& netns, const std::string& container_id);
  // The same, if the stamp's path leads to its namespace.
  void add_resident_if_confirmed(const Stamp& stamp, const std::string& container_id);

  // Whether the stamp's path leads to its namespace.
  bool path_confirms(const Stamp& stamp);

  // Whether judge() would believe a namespace of that number which is held elsewhere than at its
  // path; then the residents of all namespaces should be known.
  bool depends_on_residents(const Stamp& stamp);

  Life judge(const Stamp& stamp, const Owner& owner, const inet::Address& address);

  // Whether its namespace exists and has the address, or its ADD still runs.
  bool is_in_use(const Stamp& stamp, const inet::Address& address);

 private:
  bool runs(const Stamp& stamp) const;
  Life judge_unconfirmed(const Stamp& stamp, const Owner& owner);
  bool has_address(const std::string& netns_path, const inet::Address& address);
  bool is_configured_anywhere(const inet::Address& address);
  const std::map<NetnsId, std::string>& holders();

  netns::PathState follow(const Stamp& stamp);

  std::string boot_;
  std::map<NetnsId, std::set<std::string>> residents_;
  // A path to each namespace that a process or a mount holds.
  std::optional<std::map<NetnsId, std::string>> holders_;
  std::map<std::string, std::set<inet::Address>> addresses_;
};

}  // namespace cni::host_local
