// The MTU of an attachment's links, as the keys "mtu" and "mtuOverhead" ask for it.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "netlink/netlink_socket.h"
#include "protocol/net_conf.h"

namespace cni::attachment {

// Bytes everywhere.
struct MtuSetting {
  // Nothing leaves it to the kernel, unless it is automatic.
  std::optional<std::uint32_t> number = std::nullopt;
  // That of the device of the host's default route, less the overhead.
  bool automatic = false;
  std::uint32_t overhead = 0;
};

// "mtu" is a number or "auto". Throws json::ValueError.
MtuSetting parse_mtu(const NetConf& conf);

// Throws Error 11 if it is automatic and the host has no default route, Error 7 if the overhead
// leaves nothing.
std::optional<std::uint32_t> resolve_mtu(netlink::Socket& host, const MtuSetting& setting);

// Why resolve_mtu() would throw Error 11 now, for STATUS.
std::optional<std::string> find_mtu_obstacle(netlink::Socket& host, const MtuSetting& setting);

}  // namespace cni::attachment
