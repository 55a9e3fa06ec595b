#include "check.h"

#include <fmt/format.h>

#include <algorithm>

#include "attachment/check_container_link.h"
#include "attachment/forwarding.h"
#include "forward_accept/forward_accept.h"
#include "masquerade/masquerade.h"
#include "netlink/address.h"
#include "routing.h"

namespace cni::veth {
namespace {

using attachment::Differences;

bool leads_as(const netlink::Route& found, const netlink::Route& expected) {
  if (found.destination != expected.destination) return false;
  if (found.gateway == expected.gateway && found.link_index == expected.link_index) return true;
  // IPv6 joins routes to one destination, for example those of two interfaces.
  return std::ranges::any_of(found.next_hops, [&](const netlink::NextHop& hop) {
    return hop.gateway == expected.gateway && hop.link_index == expected.link_index;
  });
}

// `found` may be in any table: plugins after this one move routes.
void check_routes(const std::vector<netlink::Route>& found,
                  const std::vector<netlink::Route>& expected, const netlink::Link& link,
                  Differences& differences) {
  for (const netlink::Route& route : expected) {
    if (std::ranges::any_of(found, [&](const auto& each) { return leads_as(each, route); })) {
      continue;
    }
    differences.add(fmt::format("route {}{} dev {} not found", route.destination.text(),
                                route.gateway ? fmt::format(" via {}", route.gateway->text()) : "",
                                link.name));
  }
}

void check_host(netlink::Socket& host, const netlink::Link& container, const Result& mine,
                const Result& previous, Differences& differences) {
  const auto link = attachment::check_host_end(
      host, container, previous,
      fmt::format("the host end of \"{}\" was not found", container.name), differences);
  if (!link) return;
  const auto addresses = netlink::addresses(host, {.link_index = link->index});
  for (const inet::Network& gateway : gateway_addresses(mine)) {
    if (std::ranges::find(addresses, gateway, &netlink::InterfaceAddress::network) ==
        addresses.end()) {
      differences.add(fmt::format("gateway {} is not on \"{}\"", gateway.text(), link->name));
    }
  }
  check_routes(netlink::routes(host, {.table = netlink::kMainTable, .link_index = link->index}),
               host_routes(mine, *link), *link, differences);
}

}  // namespace

void check_attachment(const Request& request, const Config& config, const Result& previous) {
  const Interface& expected = attachment::get_container_interface(request, previous);
  netlink::Socket host = netlink::Socket::here();
  netlink::Socket container = netlink::Socket::in(*request.netns);
  Differences differences;
  const auto link = attachment::check_link(container, expected, "veth", differences);
  if (link && link->kind == "veth") {
    Result mine = previous;
    std::erase_if(mine.ips, [&](const IpConfig& ip) {
      return !attachment::is_on_interface(ip, expected, previous);
    });
    check_host(host, *link, mine, previous, differences);
    attachment::check_addresses_and_routes(container, *link, expected, previous, differences);
    check_routes(netlink::routes(container, {.table = std::nullopt, .link_index = link->index}),
                 container_routes(mine, *link), *link, differences);
    for (const inet::Family family : {inet::Family::kIpv4, inet::Family::kIpv6}) {
      if (std::ranges::any_of(mine.ips,
                              [&](const IpConfig& ip) { return ip.address.family() == family; })) {
        attachment::check_forwarding(family, differences);
      }
    }
  }
  if (config.masquerade) masquerade::check(request, previous, *config.masquerade, differences);
  if (config.forward_accept) {
    forward_accept::check(request, masquerade::container_addresses(request, previous), differences);
  }
  differences.finish();
}

}  // namespace cni::veth
