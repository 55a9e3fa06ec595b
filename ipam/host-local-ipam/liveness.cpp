#include "liveness.h"

#include <algorithm>

#include "base/log.h"
#include "netlink/address.h"
#include "netlink/netlink_socket.h"
#include "netns/holders.h"
#include "netns/netns.h"

namespace cni::host_local {

Liveness::Liveness() : boot_(boot_id()) {}

void Liveness::add_resident(const NetnsId& netns, const std::string& container_id) {
  residents_[netns].insert(container_id);
}

void Liveness::add_resident_if_confirmed(const Stamp& stamp, const std::string& container_id) {
  if (stamp.boot == boot_ && path_confirms(stamp)) add_resident(*stamp.netns, container_id);
}

bool Liveness::runs(const Stamp& stamp) const {
  return stamp.boot == boot_ && stamp.adder && find_process(stamp.adder->pid) == stamp.adder;
}

netns::PathState Liveness::follow(const Stamp& stamp) {
  if (!stamp.netns) return netns::PathState::kGone;
  return netns::follow(stamp.netns_path, *stamp.netns);
}

bool Liveness::depends_on_residents(const Stamp& stamp) {
  return stamp.boot == boot_ && stamp.netns && !runs(stamp) &&
         follow(stamp) == netns::PathState::kGone;
}

bool Liveness::path_confirms(const Stamp& stamp) {
  return follow(stamp) == netns::PathState::kLeads;
}

Life Liveness::judge(const Stamp& stamp, const Owner& owner, const inet::Address& address) {
  if (runs(stamp)) return Life::kAlive;
  if (stamp.boot != boot_) {
    if (!stamp.netns) return is_configured_anywhere(address) ? Life::kAlive : Life::kDead;
    if (!path_confirms(stamp)) return Life::kDead;
    const bool number_may_be_new = stamp.netns_path.starts_with("/proc/");
    return !number_may_be_new || has_address(stamp.netns_path, address) ? Life::kAlive
                                                                        : Life::kDead;
  }
  if (!stamp.netns) return Life::kUnknown;
  switch (follow(stamp)) {
    case netns::PathState::kLeads:
      return Life::kAlive;
    case netns::PathState::kUnreadable:
      return Life::kUnknown;
    case netns::PathState::kGone:
      break;
  }
  return judge_unconfirmed(stamp, owner);
}

Life Liveness::judge_unconfirmed(const Stamp& stamp, const Owner& owner) {
  if (!holders().contains(*stamp.netns)) return Life::kDead;
  const auto residents = residents_.find(*stamp.netns);
  if (residents == residents_.end()) return Life::kAlive;
  const bool taken_over = std::ranges::any_of(
      residents->second, [&](const std::string& id) { return id != owner.container_id; });
  return taken_over ? Life::kDead : Life::kAlive;
}

bool Liveness::is_in_use(const Stamp& stamp, const inet::Address& address) {
  if (runs(stamp)) return true;
  if (!stamp.netns) return is_configured_anywhere(address);
  if (path_confirms(stamp)) return has_address(stamp.netns_path, address);
  const auto holder = holders().find(*stamp.netns);
  return holder != holders().end() && has_address(holder->second, address);
}

const std::map<NetnsId, std::string>& Liveness::holders() {
  if (!holders_) holders_ = netns::holders();
  return *holders_;
}

bool Liveness::has_address(const std::string& netns_path, const inet::Address& address) {
  const auto [known, is_new] = addresses_.try_emplace(netns_path);
  if (is_new) {
    if (const auto netns = netns::Netns::find(netns_path)) {
      netlink::Socket socket = netlink::Socket::in(*netns);
      for (const auto& configured : netlink::addresses(socket)) {
        known->second.insert(configured.network.address);
      }
    }
  }
  return known->second.contains(address);
}

bool Liveness::is_configured_anywhere(const inet::Address& address) {
  return std::ranges::any_of(holders(), [&](const auto& holder) {
    try {
      return has_address(holder.second, address);
    } catch (const std::exception& error) {
      // A namespace that has ended meanwhile, or that we may not enter.
      log::debug("{}, passing over this namespace", error.what());
      return false;
    }
  });
}

}  // namespace cni::host_local
