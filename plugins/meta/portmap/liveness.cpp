#include "liveness.h"

#include <algorithm>

#include "base/log.h"
#include "netlink/address.h"
#include "netlink/netlink_socket.h"
#include "netns/netns.h"

namespace cni::portmap {

bool Liveness::is_alive(const Holding& holding) {
  const inet::Address& address = holding.address.address;
  if (!holding.netns) return is_alive(address);
  switch (netns::follow(holding.netns_path, *holding.netns)) {
    case netns::PathState::kUnreadable:
      return true;
    case netns::PathState::kLeads:
      // Numbers of processes and of namespaces are soon used again.
      return !holding.netns_path.starts_with("/proc/") || has_address(holding.netns_path, address);
    case netns::PathState::kGone:
      break;
  }
  const auto& own = config_.address(holding.family());
  if (own && own->address == address) return false;
  if (request_.netns && holding.netns == netns::NetnsId{.device = request_.netns->device(),
                                                        .inode = request_.netns->inode()}) {
    return false;
  }
  const auto holder = holders().find(*holding.netns);
  return holder != holders().end() && has_address(holder->second, address);
}

bool Liveness::is_alive(const inet::Address& address) {
  const auto& own = config_.address(address.family());
  if (own && own->address == address) return false;
  return std::ranges::any_of(
      holders(), [&](const auto& holder) { return has_address(holder.second, address); });
}

bool Liveness::has_address(const std::string& netns_path, const inet::Address& address) {
  const auto [known, is_new] = addresses_.try_emplace(netns_path);
  if (is_new) {
    try {
      if (const auto netns = netns::Netns::find(netns_path)) {
        netlink::Socket socket = netlink::Socket::in(*netns);
        for (const auto& configured : netlink::addresses(socket)) {
          known->second.insert(configured.network.address);
        }
      }
    } catch (const std::exception& error) {
      // A namespace that has ended meanwhile, or that we may not enter.
      log::debug("{}, passing over this namespace", error.what());
    }
  }
  return known->second.contains(address);
}

const std::map<netns::NetnsId, std::string>& Liveness::holders() {
  if (!holders_) holders_ = netns::holders();
  return *holders_;
}

}  // namespace cni::portmap
