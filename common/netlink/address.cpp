#include "netlink/address.h"

#include <fmt/format.h>
#include <linux/if_addr.h>
#include <linux/rtnetlink.h>

#include <cerrno>
#include <span>
#include <string>

#include "base/text.h"
#include "netlink/message.h"

namespace cni::netlink {
namespace {

// Beyond these there is no room for a broadcast address.
constexpr int kLongestPrefixWithBroadcast = 30;

std::optional<InterfaceAddress> parse_address(const Answer& answer) {
  const std::span<const std::byte> payload(answer.payload);
  const auto header = Attributes::read_header<ifaddrmsg>(payload);
  if (answer.type != RTM_NEWADDR || !header) return std::nullopt;
  const Attributes attributes = Attributes::after_header(payload, sizeof(ifaddrmsg));
  // On a point-to-point link IFA_ADDRESS is the other side.
  auto address = attributes.find_address(IFA_LOCAL);
  if (!address) address = attributes.find_address(IFA_ADDRESS);
  if (!address || address_family(address->family()) != header->ifa_family) return std::nullopt;
  if (header->ifa_prefixlen > address->width()) return std::nullopt;

  const std::uint32_t flags = attributes.find_u32(IFA_FLAGS).value_or(header->ifa_flags);
  return InterfaceAddress{
      .network = {.address = *address, .prefix_length = header->ifa_prefixlen},
      .link_index = static_cast<int>(header->ifa_index),
      .tentative = (flags & IFA_F_TENTATIVE) != 0,
      .dad_failed = (flags & IFA_F_DADFAILED) != 0,
      .permanent = (flags & IFA_F_PERMANENT) != 0,
      .scope = header->ifa_scope,
  };
}

Message address_message(std::uint16_t type, std::uint16_t message_flags, const Link& link,
                        const inet::Network& address) {
  Message message(type, message_flags);
  ifaddrmsg header{};
  header.ifa_family = address_family(address.family());
  header.ifa_prefixlen = static_cast<std::uint8_t>(address.prefix_length);
  header.ifa_scope = kScopeUniverse;
  header.ifa_index = static_cast<std::uint32_t>(link.index);
  message.put_header(header);
  message.put_address(IFA_LOCAL, address.address);
  message.put_address(IFA_ADDRESS, address.address);
  return message;
}

Message addition(const Link& link, const inet::Network& address, const AddressFlags& flags) {
  Message message = address_message(RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL, link, address);
  if (address.family() == inet::Family::kIpv4 &&
      address.prefix_length <= kLongestPrefixWithBroadcast) {
    message.put_address(IFA_BROADCAST, address.last());
  }
  const std::uint32_t bits =
      (flags.no_dad ? IFA_F_NODAD : 0U) | (flags.no_prefix_route ? IFA_F_NOPREFIXROUTE : 0U);
  if (bits != 0) message.put_u32(IFA_FLAGS, bits);
  return message;
}

std::string add_attempt(const Link& link, const inet::Network& address) {
  return fmt::format("add address {} to link {}", address.text(), in_quotes(link.name));
}

}  // namespace

std::vector<InterfaceAddress> addresses(Socket& socket, const AddressFilter& filter) {
  std::vector<InterfaceAddress> found;
  for (const inet::Family family : {inet::Family::kIpv4, inet::Family::kIpv6}) {
    if (filter.family && *filter.family != family) continue;
    Message message(RTM_GETADDR, NLM_F_DUMP);
    ifaddrmsg header{};
    header.ifa_family = address_family(family);
    header.ifa_index = static_cast<std::uint32_t>(filter.link_index.value_or(0));
    message.put_header(header);
    const Outcome outcome =
        socket.exchange(message, fmt::format("list {} addresses", name(family)));
    if (outcome.error_number == ENODEV) continue;  // the link to look at has gone
    if (outcome.error_number != 0) {
      throw KernelError(outcome.error_number, fmt::format("list {} addresses", name(family)),
                        outcome.explanation);
    }
    for (const Answer& answer : outcome.answers) {
      const std::optional<InterfaceAddress> address = parse_address(answer);
      if (!address || address->network.family() != family) continue;
      if (filter.link_index && address->link_index != *filter.link_index) continue;
      found.push_back(*address);
    }
  }
  return found;
}

void add_address(Socket& socket, const Link& link, const inet::Network& address,
                 const AddressFlags& flags) {
  Message message = addition(link, address, flags);
  socket.request(message, add_attempt(link, address));
}

bool ensure_address(Socket& socket, const Link& link, const inet::Network& address,
                    const AddressFlags& flags) {
  Message message = addition(link, address, flags);
  return socket.try_change(message, add_attempt(link, address), {EEXIST});
}

bool delete_address_if_exists(Socket& socket, const Link& link, const inet::Network& address) {
  Message message = address_message(RTM_DELADDR, 0, link, address);
  return socket.try_change(
      message, fmt::format("delete address {} of link {}", address.text(), in_quotes(link.name)),
      {EADDRNOTAVAIL, ENODEV});
}

}  // namespace cni::netlink
