// The flows that connection tracking knows. A flow keeps the address translation that its first
// packet met, whatever the rules say since: a client of UDP or SCTP that goes on sending reaches
// the container that had the port before, until its flow is deleted.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "inet/address.h"

namespace cni::netlink {

inline constexpr std::uint8_t kProtocolTcp = 6;
inline constexpr std::uint8_t kProtocolUdp = 17;
inline constexpr std::uint8_t kProtocolSctp = 132;

// Which flows are meant: those that have all of it.
struct FlowFilter {
  inet::Family family;
  std::optional<std::uint8_t> protocol = std::nullopt;  // kProtocol...
  // Where the first packet was sent to, before any translation.
  std::optional<inet::Address> destination = std::nullopt;
  // The same of its port, both included. Only flows of a protocol with ports have one.
  std::uint16_t first_port = 0;
  std::uint16_t last_port = 65535;
  // Who answers: the container, if the destination was translated to it.
  std::optional<inet::Address> reply_source = std::nullopt;
};

// Deletes each flow of the namespace of this thread that fits at least one of `filters`. Returns
// how many were deleted by this call; nothing if the kernel cannot list flows (its module
// nf_conntrack_netlink is missing). Throws KernelError, and Busy as Socket does.
//
// The table is read once for each pair of family and protocol among the filters. Since Linux 5.8
// the kernel leaves out other protocols and, if the filters have that in common, other ports and
// IPv4 destinations; what fits is all that is held in memory.
std::optional<std::size_t> delete_flows(std::span<const FlowFilter> filters);

}  // namespace cni::netlink
