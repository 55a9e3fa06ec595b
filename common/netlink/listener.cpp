#include "netlink/listener.h"

#include <arpa/inet.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>

#include <array>
#include <cerrno>
#include <optional>
#include <set>
#include <span>

#include "netlink/conntrack.h"
#include "netlink/message.h"

namespace cni::netlink {
namespace {

using inet::Address;
using inet::Family;

// net/tcp_states.h, which is the same for all protocols.
constexpr std::uint32_t kClosed = 7;
constexpr std::uint32_t kListening = 10;

// A little program for the kernel: each operation says how many bytes to go on if it holds and if
// it does not; beyond the end the socket is left out. The port of a comparison is in an operation
// of its own.
std::array<inet_diag_bc_op, 4> ports_between(std::uint16_t first, std::uint16_t last) {
  constexpr std::uint8_t kComparison = 2 * sizeof(inet_diag_bc_op);
  constexpr std::uint16_t kBeyondTwo = 2 * kComparison + sizeof(inet_diag_bc_op);
  constexpr std::uint16_t kBeyondOne = kComparison + sizeof(inet_diag_bc_op);
  return {inet_diag_bc_op{.code = INET_DIAG_BC_S_GE, .yes = kComparison, .no = kBeyondTwo},
          inet_diag_bc_op{.code = INET_DIAG_BC_NOP, .yes = 0, .no = first},
          inet_diag_bc_op{.code = INET_DIAG_BC_S_LE, .yes = kComparison, .no = kBeyondOne},
          inet_diag_bc_op{.code = INET_DIAG_BC_NOP, .yes = 0, .no = last}};
}

// The IPv4 address that an IPv6 socket is bound to (RFC 4291, 2.5.5.2).
std::optional<Address> find_mapped(const inet_diag_msg& socket) {
  const auto* words = socket.id.idiag_src;
  const bool mapped = words[0] == 0 && words[1] == 0 && words[2] == htonl(0xffff);
  return mapped ? std::optional(Address::from_bytes(Family::kIpv4, &words[3])) : std::nullopt;
}

// The address as `family` sees it; nothing if the socket takes no packets of it.
std::optional<Address> seen_as(Family family, const inet_diag_msg& socket, bool v6_only) {
  const bool of_v4 = socket.idiag_family == AF_INET;
  const Address bound =
      Address::from_bytes(of_v4 ? Family::kIpv4 : Family::kIpv6, socket.id.idiag_src);
  const auto mapped = of_v4 ? std::nullopt : find_mapped(socket);
  if (bound.family() == family) return mapped ? std::nullopt : std::optional(bound);
  if (of_v4 || v6_only) return std::nullopt;
  return bound.is_unspecified() ? Address::parse("0.0.0.0") : mapped;
}

void collect(Socket& socket, Family asked, Family family, std::uint8_t protocol,
             std::span<const inet_diag_bc_op> ports, std::set<Listener>& found) {
  Message message(Message::SocketQuestion{}, NLM_F_DUMP);
  message.put_header(
      inet_diag_req_v2{.sdiag_family = address_family(asked),
                       .sdiag_protocol = protocol,
                       .idiag_ext = 0,
                       .pad = 0,
                       .idiag_states = 1U << (protocol == kProtocolUdp ? kClosed : kListening),
                       .id = {}});
  message.put_bytes(INET_DIAG_REQ_BYTECODE, std::as_bytes(ports));
  const std::string attempt = "list the sockets that listen";
  const Outcome outcome = socket.exchange(message, attempt);
  // No such family or protocol, or no module for it.
  if (outcome.error_number == ENOENT || outcome.error_number == EOPNOTSUPP) return;
  if (outcome.error_number != 0) {
    throw KernelError(outcome.error_number, attempt, outcome.explanation);
  }
  for (const Answer& answer : outcome.answers) {
    const auto payload = std::span<const std::byte>(answer.payload);
    const auto one = Attributes::read_header<inet_diag_msg>(payload);
    if (!one) continue;
    const Attributes attributes = Attributes::after_header(payload, sizeof(inet_diag_msg));
    const bool v6_only = attributes.find_u8(INET_DIAG_SKV6ONLY).value_or(0) != 0;
    const auto address = seen_as(family, *one, v6_only);
    if (address) found.insert({.address = *address, .port = ntohs(one->id.idiag_sport)});
  }
}

}  // namespace

std::vector<Listener> listeners(Socket& socket, Family family, std::uint8_t protocol,
                                std::uint16_t first_port, std::uint16_t last_port) {
  const auto ports = ports_between(first_port, last_port);
  std::set<Listener> found;
  collect(socket, Family::kIpv6, family, protocol, ports, found);
  if (family == Family::kIpv4) collect(socket, family, family, protocol, ports, found);
  return {found.begin(), found.end()};
}

}  // namespace cni::netlink
