#include "attachment/announce.h"

#include <stdexcept>

#include "base/log.h"
#include "netlink/neighbour.h"

namespace cni::attachment {

// A link whose MAC is written, even if it is the same, announces its addresses (NETDEV_CHANGEADDR
// in net/ipv4/devinet.c and net/ipv6/ndisc.c). To send the packets ourselves would take a packet
// socket, and to close one waits until every processor has looked away: milliseconds.
void announce_addresses(netlink::Socket& container, const netlink::Link& link) {
  try {
    netlink::change_link(container, link, {.mac = link.mac});
  } catch (const std::runtime_error& error) {
    log::warning("cannot announce the addresses of \"{}\": {}, ignoring", link.name, error.what());
  }
}

void confirm_neighbour(netlink::Socket& socket, const netlink::Link& link,
                       const inet::Address& address, const inet::Mac& mac) {
  if (netlink::replace_neighbour_if_possible(socket, link, address, mac)) return;
  log::info("the kernel's table of neighbours is full (gc_thresh3): {} is not entered",
            address.text());
}

void confirm_neighbours(netlink::Socket& host, const netlink::Link& link, const Result& result,
                        const inet::Mac& mac) {
  for (const IpConfig& ip : result.ips) {
    confirm_neighbour(host, link, ip.address.address, mac);
  }
}

}  // namespace cni::attachment
