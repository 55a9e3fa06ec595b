#include "netlink/neighbour.h"

#include <fmt/format.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>

#include <cerrno>

#include "base/text.h"
#include "netlink/message.h"

namespace cni::netlink {
namespace {

Message neighbour_message(std::uint16_t type, std::uint16_t flags, const Link& link,
                          const inet::Address& address, std::uint16_t state) {
  Message message(type, flags);
  ndmsg header{};
  header.ndm_family = address_family(address.family());
  header.ndm_ifindex = link.index;
  header.ndm_state = state;
  message.put_header(header);
  message.put_address(NDA_DST, address);
  return message;
}

}  // namespace

bool replace_neighbour_if_possible(Socket& socket, const Link& link, const inet::Address& address,
                                   const inet::Mac& mac) {
  Message message =
      neighbour_message(RTM_NEWNEIGH, NLM_F_CREATE | NLM_F_REPLACE, link, address, NUD_REACHABLE);
  message.put_mac(NDA_LLADDR, mac);
  return socket.try_change(message,
                           fmt::format("set neighbour {} of link {} to {}", address.text(),
                                       in_quotes(link.name), mac.text()),
                           {ENOBUFS});
}

bool delete_neighbour_if_exists(Socket& socket, const Link& link, const inet::Address& address) {
  Message message = neighbour_message(RTM_DELNEIGH, 0, link, address, NUD_NONE);
  return socket.try_change(
      message, fmt::format("delete neighbour {} of link {}", address.text(), in_quotes(link.name)),
      {ENOENT, ENODEV});
}

}  // namespace cni::netlink
