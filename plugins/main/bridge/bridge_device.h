// The bridge itself, which all containers of a network share.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "base/undo.h"
#include "config.h"
#include "netlink/link.h"
#include "netlink/netlink_socket.h"
#include "state/file_lock.h"

namespace cni::bridge {

// Held while the bridge is made, changed or removed, and until the own port is on it: a bridge
// without ports may be removed by the ADD that made it and then failed. Nothing that waits for
// another program happens under it. Throws Busy after 30 s.
state::FileLock lock_bridge(const std::string& bridge);

struct BridgeDevice {
  netlink::Link link;
  // Made by this plugin, now or earlier.
  bool ours = false;
  // Ours and, until this attachment came, without a port in use: what an earlier configuration left
  // on it serves nobody.
  bool repairable = false;
};

// Throws Error 7 if it is a link of another kind.
void require_bridge(const netlink::Link& link);

// Makes or adopts the bridge, sets it up and pins its MAC: without, it would take the lowest MAC of
// its ports and change it as containers come and go. Throws if a link of that name is no bridge, or
// if the bridge cannot tell VLANs apart though the configuration asks for it. A bridge that was
// made now is removed by `undo`, unless somebody else has put a port on it.
BridgeDevice ensure_bridge(netlink::Socket& host, const Config& config,
                           std::optional<std::uint32_t> mtu, Undo& undo);

// Why the bridge of this configuration could not be used by an ADD, as far as that can be told
// without changing anything; nothing if it could. For STATUS.
std::optional<std::string> find_obstacle(netlink::Socket& host, const Config& config);

}  // namespace cni::bridge
