#include "netlink/route.h"

#include <fmt/format.h>
#include <linux/rtnetlink.h>

#include <algorithm>
#include <cerrno>
#include <span>

#include "netlink/message.h"

namespace cni::netlink {
namespace {

// Which table and scope a request means is told by RTA_TABLE; the header has a byte only.
constexpr std::uint32_t kLargestHeaderTable = 255;

std::uint8_t header_table(std::uint32_t table) {
  return table <= kLargestHeaderTable ? static_cast<std::uint8_t>(table)
                                      : static_cast<std::uint8_t>(RT_TABLE_UNSPEC);
}

void put_next_hop(Message& message, const Route& route) {
  if (route.gateway) message.put_address(RTA_GATEWAY, *route.gateway);
  if (route.link_index) message.put_i32(RTA_OIF, *route.link_index);
}

Message route_message(std::uint16_t type, std::uint16_t flags, const Route& route,
                      const rtmsg& header) {
  Message message(type, flags);
  message.put_header(header);
  message.put_address(RTA_DST, route.destination.address);
  message.put_u32(RTA_TABLE, route.table);
  put_next_hop(message, route);
  if (route.priority != 0) message.put_u32(RTA_PRIORITY, route.priority);
  if (route.preferred_source) message.put_address(RTA_PREFSRC, *route.preferred_source);
  return message;
}

rtmsg route_header(const Route& route) {
  rtmsg header{};
  header.rtm_family = address_family(route.destination.family());
  header.rtm_dst_len = static_cast<std::uint8_t>(route.destination.prefix_length);
  header.rtm_table = header_table(route.table);
  return header;
}

void add(Socket& socket, const Route& route, std::uint16_t flags) {
  rtmsg header = route_header(route);
  header.rtm_protocol = route.protocol;
  header.rtm_scope = route.scope;
  header.rtm_type = route.type;
  if (route.on_link) header.rtm_flags = RTNH_F_ONLINK;
  Message message = route_message(RTM_NEWROUTE, flags, route, header);
  if (route.mtu || route.advmss) {
    message.nest(RTA_METRICS, [&] {
      if (route.mtu) message.put_u32(RTAX_MTU, *route.mtu);
      if (route.advmss) message.put_u32(RTAX_ADVMSS, *route.advmss);
    });
  }
  socket.request(message, fmt::format("add route {}", text(route)));
}

// RTA_VIA: a gateway of the other family (RFC 5549). A family, then the address.
std::optional<inet::Address> find_gateway(const Attributes& attributes) {
  if (auto gateway = attributes.find_address(RTA_GATEWAY)) return gateway;
  const auto via = attributes.find(RTA_VIA);
  if (!via || via->size() != sizeof(rtvia) + 16) return std::nullopt;
  return inet::Address::from_bytes(inet::Family::kIpv6, via->data() + sizeof(rtvia));
}

std::vector<NextHop> parse_next_hops(std::span<const std::byte> bytes) {
  std::vector<NextHop> hops;
  while (const auto head = Attributes::read_header<rtnexthop>(bytes)) {
    if (head->rtnh_len < sizeof(rtnexthop) || head->rtnh_len > bytes.size()) break;
    const Attributes attributes =
        Attributes::after_header(bytes.first(head->rtnh_len), sizeof(rtnexthop));
    hops.push_back({.gateway = find_gateway(attributes), .link_index = head->rtnh_ifindex});
    bytes = bytes.subspan(std::min<std::size_t>(RTNH_ALIGN(head->rtnh_len), bytes.size()));
  }
  return hops;
}

std::optional<Route> parse_route(const Answer& answer, inet::Family family) {
  const std::span<const std::byte> payload(answer.payload);
  const auto header = Attributes::read_header<rtmsg>(payload);
  if (answer.type != RTM_NEWROUTE || !header || header->rtm_family != address_family(family)) {
    return std::nullopt;
  }
  // What was learned about the way to one destination (path MTU); listed without strict checks.
  if ((header->rtm_flags & RTM_F_CLONED) != 0) return std::nullopt;

  const Attributes attributes = Attributes::after_header(payload, sizeof(rtmsg));
  Route route{.destination = inet::default_network(family)};
  if (const auto destination = attributes.find_address(RTA_DST)) {
    if (destination->family() != family) return std::nullopt;
    route.destination.address = *destination;
  }
  if (header->rtm_dst_len > route.destination.address.width()) return std::nullopt;
  route.destination.prefix_length = header->rtm_dst_len;
  route.gateway = find_gateway(attributes);
  route.link_index = attributes.find_i32(RTA_OIF);
  route.priority = attributes.find_u32(RTA_PRIORITY).value_or(0);
  route.table = attributes.find_u32(RTA_TABLE).value_or(header->rtm_table);
  route.scope = header->rtm_scope;
  route.protocol = header->rtm_protocol;
  route.type = header->rtm_type;
  route.on_link = (header->rtm_flags & RTNH_F_ONLINK) != 0;
  route.preferred_source = attributes.find_address(RTA_PREFSRC);
  const Attributes metrics = attributes.nested(RTA_METRICS);
  route.mtu = metrics.find_u32(RTAX_MTU);
  route.advmss = metrics.find_u32(RTAX_ADVMSS);
  if (const auto hops = attributes.find(RTA_MULTIPATH)) route.next_hops = parse_next_hops(*hops);
  return route;
}

bool leaves_by(const Route& route, int link_index) {
  return route.link_index == link_index ||
         std::ranges::any_of(route.next_hops,
                             [&](const NextHop& hop) { return hop.link_index == link_index; });
}

}  // namespace

std::string text(const Route& route) {
  std::string text = route.destination.text();
  if (route.gateway) text += fmt::format(" via {}", route.gateway->text());
  if (route.link_index) text += fmt::format(" on link {}", *route.link_index);
  if (route.priority != 0) text += fmt::format(" metric {}", route.priority);
  if (route.table != kMainTable) text += fmt::format(" in table {}", route.table);
  return text;
}

void add_route(Socket& socket, const Route& route) {
  add(socket, route, NLM_F_CREATE);
}

void add_exclusive_route(Socket& socket, const Route& route) {
  add(socket, route, NLM_F_CREATE | NLM_F_EXCL);
}

std::vector<Route> routes(Socket& socket, const RouteFilter& filter) {
  std::vector<Route> found;
  for (const inet::Family family : {inet::Family::kIpv4, inet::Family::kIpv6}) {
    if (filter.family && *filter.family != family) continue;
    Message message(RTM_GETROUTE, NLM_F_DUMP);
    rtmsg header{};
    header.rtm_family = address_family(family);
    if (filter.table) header.rtm_table = header_table(*filter.table);
    message.put_header(header);
    if (filter.table) message.put_u32(RTA_TABLE, *filter.table);
    const std::string attempt = fmt::format("list {} routes", name(family));
    const Outcome outcome = socket.exchange(message, attempt);
    // A table comes into being with its first route.
    if (outcome.error_number == ENOENT) continue;
    if (outcome.error_number != 0) {
      throw KernelError(outcome.error_number, attempt, outcome.explanation);
    }
    for (const Answer& answer : outcome.answers) {
      std::optional<Route> route = parse_route(answer, family);
      if (!route || (filter.table && route->table != *filter.table)) continue;
      if (filter.link_index && !leaves_by(*route, *filter.link_index)) continue;
      found.push_back(*std::move(route));
    }
  }
  return found;
}

bool delete_route_if_exists(Socket& socket, const Route& route) {
  rtmsg header = route_header(route);
  header.rtm_scope = RT_SCOPE_NOWHERE;  // any, see fib_table_delete() in net/ipv4/fib_trie.c
  Message message = route_message(RTM_DELROUTE, 0, route, header);
  return socket.try_change(message, fmt::format("delete route {}", text(route)), {ESRCH});
}

std::optional<Way> find_way(Socket& socket, const inet::Address& address) {
  Message message(RTM_GETROUTE, 0);
  rtmsg header{};
  header.rtm_family = address_family(address.family());
  header.rtm_dst_len = static_cast<std::uint8_t>(address.width());
  message.put_header(header);
  message.put_address(RTA_DST, address);
  const Outcome outcome =
      socket.exchange(message, fmt::format("look up the route to {}", address.text()));
  for (const Answer& answer : outcome.answers) {
    const std::span<const std::byte> payload(answer.payload);
    const auto route = Attributes::read_header<rtmsg>(payload);
    if (answer.type != RTM_NEWROUTE || !route) continue;
    const Attributes attributes = Attributes::after_header(payload, sizeof(rtmsg));
    return Way{.type = route->rtm_type, .link_index = attributes.find_i32(RTA_OIF)};
  }
  return std::nullopt;
}

bool is_local(Socket& socket, const inet::Address& address) {
  const std::optional<Way> way = find_way(socket, address);
  return way && way->type == kLocal;
}

std::optional<int> default_route_link(Socket& socket) {
  for (const inet::Family family : {inet::Family::kIpv4, inet::Family::kIpv6}) {
    for (const Route& route : routes(socket, {.family = family})) {
      if (route.destination != inet::default_network(family) || route.type != kUnicast) continue;
      if (route.link_index) return route.link_index;
      if (!route.next_hops.empty()) return route.next_hops.front().link_index;
    }
  }
  return std::nullopt;
}

}  // namespace cni::netlink
