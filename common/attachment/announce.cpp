#include "attachment/announce.h"

#include <arpa/inet.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstring>
#include <vector>

#include "base/error.h"
#include "base/log.h"
#include "base/unique_fd.h"

namespace cni::attachment {
namespace {

using Bytes = std::vector<std::uint8_t>;

void append(Bytes& to, std::initializer_list<std::uint8_t> bytes) {
  to.insert(to.end(), bytes.begin(), bytes.end());
}

void append(Bytes& to, const inet::Mac& mac) {
  to.insert(to.end(), mac.bytes().begin(), mac.bytes().end());
}

void append(Bytes& to, const inet::Address& address) {
  const auto bytes = address.bytes();
  to.insert(to.end(), bytes.begin(), bytes.begin() + address.width() / 8);
}

struct Frame {
  std::uint16_t protocol;
  Bytes destination;  // MAC
  Bytes payload;
};

// RFC 826: a request in which sender and target are the same address.
Frame arp_announcement(const inet::Mac& mac, const inet::Address& address) {
  Bytes packet;
  append(packet, {0, 1, 8, 0, 6, 4, 0, 1});  // Ethernet, IPv4, lengths, request
  append(packet, mac);
  append(packet, address);
  append(packet, {0, 0, 0, 0, 0, 0});
  append(packet, address);
  return {.protocol = ETH_P_ARP, .destination = Bytes(6, 0xff), .payload = std::move(packet)};
}

// RFC 1071 over `bytes`, of which there is an even number.
std::uint16_t internet_checksum(const Bytes& bytes) {
  std::uint32_t sum = 0;
  for (std::size_t at = 0; at + 1 < bytes.size(); at += 2) {
    sum += static_cast<std::uint32_t>(bytes[at]) << 8U | bytes[at + 1];
  }
  while (sum >> 16U != 0) sum = (sum & 0xffffU) + (sum >> 16U);
  return static_cast<std::uint16_t>(~sum);
}

// RFC 4861, section 4.4, to all nodes (ff02::1), with the override flag.
Frame neighbour_advertisement(const inet::Mac& mac, const inet::Address& address) {
  constexpr std::uint8_t kLength = 32;
  const inet::Address all_nodes = *inet::Address::parse("ff02::1");

  Bytes message;
  append(message, {136, 0, 0, 0, 0x20, 0, 0, 0});  // type, code, checksum, override
  append(message, address);
  append(message, {2, 1});  // option: target link-layer address, 8 bytes
  append(message, mac);

  Bytes pseudo_header;  // RFC 8200, section 8.1
  append(pseudo_header, address);
  append(pseudo_header, all_nodes);
  append(pseudo_header, {0, 0, 0, kLength, 0, 0, 0, IPPROTO_ICMPV6});
  pseudo_header.insert(pseudo_header.end(), message.begin(), message.end());
  const std::uint16_t checksum = internet_checksum(pseudo_header);
  message[2] = static_cast<std::uint8_t>(checksum >> 8U);
  message[3] = static_cast<std::uint8_t>(checksum & 0xffU);

  Bytes packet;
  append(packet, {0x60, 0, 0, 0, 0, kLength, IPPROTO_ICMPV6, 255});
  append(packet, address);
  append(packet, all_nodes);
  packet.insert(packet.end(), message.begin(), message.end());
  return {.protocol = ETH_P_IPV6,
          .destination = {0x33, 0x33, 0, 0, 0, 1},
          .payload = std::move(packet)};
}

void send(const UniqueFd& socket, const netlink::Link& link, const Frame& frame) {
  sockaddr_ll to{};
  to.sll_family = AF_PACKET;
  to.sll_protocol = htons(frame.protocol);
  to.sll_ifindex = link.index;
  to.sll_halen = static_cast<unsigned char>(frame.destination.size());
  std::ranges::copy(frame.destination, std::begin(to.sll_addr));
  if (::sendto(socket.get(), frame.payload.data(), frame.payload.size(), 0,
               reinterpret_cast<const sockaddr*>(&to), sizeof to) < 0) {
    throw_errno("send");
  }
}

UniqueFd packet_socket_in(const netns::Netns& netns) {
  const netns::Scope inside(netns);
  UniqueFd socket(::socket(AF_PACKET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  if (!socket) throw_errno("open a packet socket");
  return socket;
}

}  // namespace

void announce_addresses(const netns::Netns& netns, const netlink::Link& link, const inet::Mac& mac,
                        const Result& result) {
  if (mac.bytes().size() != ETH_ALEN) return;
  try {
    const UniqueFd socket = packet_socket_in(netns);
    for (const IpConfig& ip : result.ips) {
      const inet::Address& address = ip.address.address;
      send(socket, link,
           address.family() == inet::Family::kIpv4 ? arp_announcement(mac, address)
                                                   : neighbour_advertisement(mac, address));
    }
  } catch (const SystemError& error) {
    log::warning("cannot announce the addresses of \"{}\": {}, ignoring", link.name, error.what());
  }
}

}  // namespace cni::attachment
