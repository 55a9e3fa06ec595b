// The IP addresses of links.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "inet/network.h"
#include "netlink/link.h"
#include "netlink/netlink_socket.h"

namespace cni::netlink {

// RT_SCOPE_* of linux/rtnetlink.h.
inline constexpr std::uint8_t kScopeUniverse = 0;
inline constexpr std::uint8_t kScopeLink = 253;
inline constexpr std::uint8_t kScopeHost = 254;

struct InterfaceAddress {
  inet::Network network;
  int link_index = 0;
  // IPv6 duplicate address detection (RFC 4862, section 5.4) is still going on, or found one.
  bool tentative = false;
  bool dad_failed = false;
  // No lifetime.
  bool permanent = false;
  std::uint8_t scope = kScopeUniverse;
};

struct AddressFilter {
  std::optional<int> link_index = std::nullopt;
  std::optional<inet::Family> family = std::nullopt;
};

// In the kernel's order, IPv4 first.
std::vector<InterfaceAddress> addresses(Socket& socket, const AddressFilter& filter = {});

struct AddressFlags {
  // Usable at once, without duplicate address detection (IPv6).
  bool no_dad = false;
  // Without the route to its own network.
  bool no_prefix_route = false;
};

// Adds it with scope global and no end; IPv4 gets its broadcast address unless the prefix is 31 or
// 32 bits long (RFC 3021). Throws KernelError, EEXIST if the link has it. For IPv6 the kernel
// compares the address only, not the prefix length.
void add_address(Socket& socket, const Link& link, const inet::Network& address,
                 const AddressFlags& flags = {});

// Returns whether it had to be added.
bool ensure_address(Socket& socket, const Link& link, const inet::Network& address,
                    const AddressFlags& flags = {});

// Returns whether it was there.
bool delete_address_if_exists(Socket& socket, const Link& link, const inet::Network& address);

}  // namespace cni::netlink
