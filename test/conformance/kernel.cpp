#include "kernel.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <linux/if_tun.h>
#include <linux/rtnetlink.h>
#include <linux/veth.h>
#include <net/if.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <charconv>

#include "message.h"

namespace conformance::kernel {
namespace {

constexpr std::uint16_t kCreate = NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL;

NetlinkSocket route_socket() {
  return NetlinkSocket(NETLINK_ROUTE);
}

template <typename Header>
void each(std::uint16_t type, const Header& header, std::uint16_t reply_type,
          const std::function<void(const Header&, const Attributes&)>& use) {
  for (const auto& reply : route_socket().dump(Message(type, NLM_F_DUMP).header(header))) {
    if (reply.type != reply_type) continue;
    const std::string_view body = reply.body;
    use(number_of<Header>(body), parse_attributes(body.substr(NLMSG_ALIGN(sizeof(Header)))));
  }
}

std::string text_of(std::string_view bytes) {
  return std::string(bytes.substr(0, bytes.find('\0')));
}

std::string mac_text(std::string_view bytes) {
  std::string text;
  for (const char byte : bytes) {
    text += fmt::format("{}{:02x}", text.empty() ? "" : ":", static_cast<unsigned char>(byte));
  }
  return text;
}

std::string address_text(int family, std::string_view bytes) {
  std::array<char, INET6_ADDRSTRLEN> text{};
  ::inet_ntop(family, bytes.data(), text.data(), text.size());
  return text.data();
}

std::string find(const Attributes& attributes, std::uint16_t type) {
  const auto found = attributes.find(type);
  return found == attributes.end() ? "" : std::string(found->second);
}

struct Network {
  std::uint8_t family;
  std::uint8_t prefix;
  std::string bytes;
};

Network parse(const std::string& text) {
  const std::size_t slash = text.find('/');
  const int family = text.find(':') == std::string::npos ? AF_INET : AF_INET6;
  Network network{static_cast<std::uint8_t>(family), 0, std::string(family == AF_INET ? 4 : 16, 0)};
  if (::inet_pton(family, text.substr(0, slash).c_str(), network.bytes.data()) != 1) {
    throw std::runtime_error("no address: " + text);
  }
  network.prefix = static_cast<std::uint8_t>(8 * network.bytes.size());
  if (slash != std::string::npos) {
    std::from_chars(text.data() + slash + 1, text.data() + text.size(), network.prefix);
  }
  return network;
}

int index_of(const std::string& name) {
  const auto link = find_link(name);
  if (!link) throw std::runtime_error("no interface " + name);
  return link->index;
}

void change_address(std::uint16_t type, std::uint16_t flags, const std::string& link,
                    const std::string& address) {
  const Network network = parse(address);
  ifaddrmsg header{};
  header.ifa_family = network.family;
  header.ifa_prefixlen = network.prefix;
  header.ifa_flags = IFA_F_NODAD;
  header.ifa_index = static_cast<unsigned>(index_of(link));
  Message message(type, flags);
  message.header(header).attribute(IFA_LOCAL, network.bytes);
  message.attribute(IFA_ADDRESS, network.bytes);
  route_socket().change(std::move(message), "change address " + address);
}

Message route_message(std::uint16_t type, std::uint16_t flags, const Route& route) {
  const Network destination = parse(route.destination);
  rtmsg header{};
  header.rtm_family = destination.family;
  header.rtm_dst_len = destination.prefix;
  header.rtm_table = RT_TABLE_UNSPEC;
  header.rtm_protocol = type == RTM_NEWROUTE ? RTPROT_STATIC : RTPROT_UNSPEC;
  header.rtm_type = type == RTM_NEWROUTE ? RTN_UNICAST : RTN_UNSPEC;
  header.rtm_scope = type == RTM_NEWROUTE
                         ? (route.gateway.empty() ? RT_SCOPE_LINK : RT_SCOPE_UNIVERSE)
                         : RT_SCOPE_NOWHERE;
  Message message(type, flags);
  message.header(header);
  if (destination.prefix > 0) message.attribute(RTA_DST, destination.bytes);
  if (!route.gateway.empty()) message.attribute(RTA_GATEWAY, parse(route.gateway).bytes);
  if (route.priority > 0) message.number(RTA_PRIORITY, route.priority);
  message.number(RTA_TABLE, route.table);
  message.number(RTA_OIF, route.link);
  if (type == RTM_NEWROUTE && route.mtu + route.advmss > 0) {
    message.nest(RTA_METRICS, [&] {
      if (route.mtu > 0) message.number(RTAX_MTU, route.mtu);
      if (route.advmss > 0) message.number(RTAX_ADVMSS, route.advmss);
    });
  }
  return message;
}

void change_link(const std::string& name, unsigned flags, unsigned mask, const std::string& mac) {
  ifinfomsg header{};
  header.ifi_index = index_of(name);
  header.ifi_flags = flags;
  header.ifi_change = mask;
  Message message(RTM_NEWLINK, NLM_F_ACK);
  message.header(header);
  if (!mac.empty()) message.attribute(IFLA_ADDRESS, mac);
  route_socket().change(std::move(message), "change interface " + name);
}

}  // namespace

std::vector<Link> links() {
  std::vector<Link> all;
  each<ifinfomsg>(RTM_GETLINK, {}, RTM_NEWLINK, [&](const auto& header, const auto& attributes) {
    Link link;
    link.index = header.ifi_index;
    link.up = (header.ifi_flags & IFF_UP) != 0;
    link.name = text_of(find(attributes, IFLA_IFNAME));
    link.mac = mac_text(find(attributes, IFLA_ADDRESS));
    link.mtu = number_of<unsigned>(find(attributes, IFLA_MTU));
    link.master = number_of<int>(find(attributes, IFLA_MASTER));
    const std::string info = find(attributes, IFLA_LINKINFO);
    link.kind = text_of(find(parse_attributes(info), IFLA_INFO_KIND));
    all.push_back(link);
  });
  return all;
}

std::vector<Address> addresses() {
  std::vector<Address> all;
  each<ifaddrmsg>(RTM_GETADDR, {}, RTM_NEWADDR, [&](const auto& header, const auto& attributes) {
    const std::string local = find(attributes, IFA_LOCAL);
    const std::string address = local.empty() ? find(attributes, IFA_ADDRESS) : local;
    all.push_back({static_cast<int>(header.ifa_index),
                   fmt::format("{}/{}", address_text(header.ifa_family, address),
                               static_cast<unsigned>(header.ifa_prefixlen)),
                   header.ifa_scope == RT_SCOPE_LINK});
  });
  return all;
}

std::vector<Route> routes() {
  std::vector<Route> all;
  each<rtmsg>(RTM_GETROUTE, {}, RTM_NEWROUTE, [&](const auto& header, const auto& attributes) {
    Route route;
    const int family = header.rtm_family;
    if (family != AF_INET && family != AF_INET6) return;
    const std::string destination = find(attributes, RTA_DST);
    route.table = number_of<unsigned>(find(attributes, RTA_TABLE));
    route.destination = fmt::format("{}/{}",
                                    destination.empty() ? (family == AF_INET ? "0.0.0.0" : "::")
                                                        : address_text(family, destination),
                                    static_cast<unsigned>(header.rtm_dst_len));
    if (const std::string gateway = find(attributes, RTA_GATEWAY); !gateway.empty()) {
      route.gateway = address_text(family, gateway);
    }
    route.link = number_of<int>(find(attributes, RTA_OIF));
    route.priority = number_of<unsigned>(find(attributes, RTA_PRIORITY));
    const std::string metrics = find(attributes, RTA_METRICS);
    route.mtu = number_of<unsigned>(find(parse_attributes(metrics), RTAX_MTU));
    route.advmss = number_of<unsigned>(find(parse_attributes(metrics), RTAX_ADVMSS));
    const bool automatic =
        route.destination.starts_with("fe80:") || route.destination.starts_with("ff00:");
    if (route.table != RT_TABLE_LOCAL && !automatic) all.push_back(route);
  });
  return all;
}

std::optional<Link> find_link(const std::string& name) {
  for (const Link& link : links()) {
    if (link.name == name) return link;
  }
  return std::nullopt;
}

std::vector<std::string> addresses_of(const std::string& link) {
  std::vector<std::string> texts;
  const auto found = find_link(link);
  for (const Address& address : addresses()) {
    if (found && address.link == found->index && !address.link_local) texts.push_back(address.text);
  }
  std::ranges::sort(texts);
  return texts;
}

void add_veth(const std::string& name, const std::string& peer, const std::string& peer_netns) {
  const Fd netns(check(::open(peer_netns.c_str(), O_RDONLY | O_CLOEXEC), "open " + peer_netns));
  Message message(RTM_NEWLINK, kCreate);
  message.header(ifinfomsg{}).text(IFLA_IFNAME, name);
  message.nest(IFLA_LINKINFO, [&] {
    message.text(IFLA_INFO_KIND, "veth");
    message.nest(IFLA_INFO_DATA, [&] {
      message.nest(VETH_INFO_PEER, [&] {
        message.raw(ifinfomsg{});
        message.text(IFLA_IFNAME, peer).number(IFLA_NET_NS_FD, netns.get());
      });
    });
  });
  route_socket().change(std::move(message), "add veth " + name);
}

void add_bridge(const std::string& name) {
  Message message(RTM_NEWLINK, kCreate);
  message.header(ifinfomsg{}).text(IFLA_IFNAME, name);
  message.nest(IFLA_LINKINFO, [&] { message.text(IFLA_INFO_KIND, "bridge"); });
  route_socket().change(std::move(message), "add bridge " + name);
}

void set_up(const std::string& name, bool up) {
  change_link(name, up ? IFF_UP : 0, IFF_UP, "");
}

void set_mac(const std::string& name, const std::string& mac) {
  std::string bytes;
  for (std::size_t i = 0; i < mac.size(); i += 3) {
    bytes += static_cast<char>(std::stoi(mac.substr(i, 2), nullptr, 16));
  }
  change_link(name, 0, 0, bytes);
}

void delete_link(const std::string& name) {
  ifinfomsg header{};
  header.ifi_index = index_of(name);
  route_socket().change(Message(RTM_DELLINK, NLM_F_ACK).header(header), "delete " + name);
}

void add_address(const std::string& link, const std::string& address) {
  change_address(RTM_NEWADDR, kCreate, link, address);
}

void delete_address(const std::string& link, const std::string& address) {
  change_address(RTM_DELADDR, NLM_F_ACK, link, address);
}

void add_route(const std::string& link, Route route) {
  route.link = index_of(link);
  if (route.table == 0) route.table = RT_TABLE_MAIN;
  route_socket().change(route_message(RTM_NEWROUTE, kCreate, route),
                        "add route " + route.destination);
}

void delete_route(const Route& route) {
  route_socket().change(route_message(RTM_DELROUTE, NLM_F_ACK, route),
                        "delete route " + route.destination);
}

void add_tap(const std::string& name) {
  const Fd tun(check(::open("/dev/net/tun", O_RDWR | O_CLOEXEC), "open /dev/net/tun"));
  ifreq request{};
  name.copy(request.ifr_name, IFNAMSIZ - 1);
  request.ifr_flags = IFF_TAP | IFF_NO_PI;
  check(::ioctl(tun.get(), TUNSETIFF, &request), "make tap " + name);
  check(::ioctl(tun.get(), TUNSETPERSIST, 1), "keep tap " + name);
}

}  // namespace conformance::kernel
