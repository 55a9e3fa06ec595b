// Routes.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "inet/network.h"
#include "netlink/address.h"
#include "netlink/netlink_socket.h"

namespace cni::netlink {

// RT_TABLE_*, RTPROT_* and RTN_* of linux/rtnetlink.h.
inline constexpr std::uint32_t kMainTable = 254;
inline constexpr std::uint32_t kLocalTable = 255;
inline constexpr std::uint8_t kProtocolBoot = 3;
inline constexpr std::uint8_t kUnicast = 1;
inline constexpr std::uint8_t kLocal = 2;

struct NextHop {
  std::optional<inet::Address> gateway = std::nullopt;
  std::optional<int> link_index = std::nullopt;
};

struct Route {
  inet::Network destination;
  std::optional<inet::Address> gateway = std::nullopt;
  std::optional<int> link_index = std::nullopt;
  // 0 leaves it to the kernel, which takes 1024 for IPv6.
  std::uint32_t priority = 0;
  std::uint32_t table = kMainTable;
  // IPv4 only; IPv6 routes always show kScopeUniverse.
  std::uint8_t scope = kScopeUniverse;
  std::uint8_t protocol = kProtocolBoot;
  std::uint8_t type = kUnicast;
  // Take the gateway for one beyond the link, whatever other routes say (RTNH_F_ONLINK).
  bool on_link = false;
  std::optional<std::uint32_t> mtu = std::nullopt;
  std::optional<std::uint32_t> advmss = std::nullopt;
  std::optional<inet::Address> preferred_source = std::nullopt;
  // Of a multipath route, which has no gateway and link_index of its own. For reading only.
  std::vector<NextHop> next_hops = {};
};

// "10.0.0.0/8 via 10.1.2.1 on link 5 metric 7 in table 100", for messages.
std::string text(const Route& route);

// Without replacing or refusing: a second route to the same destination is added if its gateway
// or link differs (IPv4: in front; IPv6: as another next hop). Throws KernelError, EEXIST for the
// same route, EINVAL if an IPv4 destination has host bits.
void add_route(Socket& socket, const Route& route);

// Refuses (EEXIST) a second route with the same destination and priority.
void add_exclusive_route(Socket& socket, const Route& route);

struct RouteFilter {
  std::optional<inet::Family> family = std::nullopt;
  std::optional<std::uint32_t> table = kMainTable;  // nothing: all tables
  // As the link of the route or of one of its next hops.
  std::optional<int> link_index = std::nullopt;
};

// In the kernel's order, IPv4 first.
std::vector<Route> routes(Socket& socket, const RouteFilter& filter = {});

// Deletes the first route with this destination and table and, where they are set, this gateway,
// link, priority and preferred source. Returns whether there was one.
bool delete_route_if_exists(Socket& socket, const Route& route);

// What becomes of packets that this namespace sends.
struct Way {
  std::uint8_t type;  // kUnicast, kLocal, ...
  std::optional<int> link_index;
};

// To `address`, by whatever rules and tables; one question to the kernel. Nothing if it refuses.
std::optional<Way> find_way(Socket& socket, const inet::Address& address);

// Whether this namespace takes packets to `address` as its own. The kernel adds an IPv6 address,
// and makes it work a moment later.
bool is_local(Socket& socket, const inet::Address& address);

// The link by which the first default route of the main table leaves: IPv4 before IPv6, the first
// next hop of a multipath route.
std::optional<int> default_route_link(Socket& socket);

}  // namespace cni::netlink
