// Sockets that wait for somebody to send or to connect (sock_diag(7)).
#pragma once

#include <cstdint>
#include <vector>

#include "inet/address.h"
#include "netlink/netlink_socket.h"

namespace cni::netlink {

struct Listener {
  inet::Address address;  // unspecified: any of its family
  std::uint16_t port;

  friend auto operator<=>(const Listener&, const Listener&) = default;
};

// Sockets of `protocol` (kProtocol... of conntrack.h) that take packets of `family` to a port from
// `first_port` to `last_port`: what listens, and for UDP what is bound and not connected. Each
// address and port once, ascending; the address of a socket of IPv6 that takes IPv4 as well is
// 0.0.0.0 when it is asked for IPv4. The kernel leaves out other ports and established connections.
// Empty if it cannot list sockets of the protocol. `socket` is of Protocol::kSockets. Throws as
// Socket does.
std::vector<Listener> listeners(Socket& socket, inet::Family family, std::uint8_t protocol,
                                std::uint16_t first_port, std::uint16_t last_port);

}  // namespace cni::netlink
