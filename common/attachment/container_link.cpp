#include "attachment/container_link.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>

#include "attachment/ipv6.h"
#include "netlink/address.h"
#include "netlink/link_watch.h"
#include "netlink/route.h"
#include "netns/sysctl.h"
#include "protocol/error.h"

namespace cni::attachment {
namespace {

constexpr std::chrono::milliseconds kDuplicateDetectionLimit{5000};

bool has_ipv6(const Result& result) {
  return std::ranges::any_of(
      result.ips, [](const IpConfig& ip) { return ip.address.family() == inet::Family::kIpv6; });
}

std::string ipv6_sysctl(const std::string& link, std::string_view key) {
  return fmt::format("net/ipv6/conf/{}/{}", link, key);
}

void set_sysctls(const netns::Netns& netns, const std::string& link, bool ipv6,
                 const ContainerLinkSettings& settings) {
  const netns::Scope inside(netns);
  if (settings.notify_neighbours) {
    netns::try_set_sysctl(fmt::format("net/ipv4/conf/{}/arp_notify", link), "1");
  }
  const std::string accept_dad = ipv6_sysctl(link, "accept_dad");
  if (netns::find_sysctl(accept_dad)) {
    if (settings.detect_duplicates) netns::try_set_sysctl(ipv6_sysctl(link, "enhanced_dad"), "1");
    netns::try_set_sysctl(accept_dad, settings.detect_duplicates ? "1" : "0");
  }
  if (!ipv6) return;
  if (settings.notify_neighbours) netns::try_set_sysctl(ipv6_sysctl(link, "ndisc_notify"), "1");
  enable_ipv6("lo");
  enable_ipv6(link);
  netns::set_sysctl(ipv6_sysctl(link, "keep_addr_on_down"), "1");
}

void wait_for_duplicate_detection(netlink::Socket& container, const netlink::Link& link,
                                  netlink::LinkWatch& watch) {
  const auto is_settled = [&] {
    bool settled = true;
    for (const netlink::InterfaceAddress& address :
         netlink::addresses(container, {.link_index = link.index, .family = inet::Family::kIpv6})) {
      if (address.dad_failed) {
        throw Error(Code::kInternal,
                    fmt::format("failed to settle addresses for \"{0}\": link {0} has address {1} "
                                "in DADFAILED state",
                                link.name, address.network.text()));
      }
      settled = settled && !address.tentative;
    }
    return settled;
  };
  if (watch.wait_until(is_settled, Deadline::in(kDuplicateDetectionLimit))) return;
  // Without a carrier there is nobody to ask.
  if (netlink::get_link(container, link.index).oper_state != netlink::OperState::kUp) return;
  throw Error(Code::kInternal,
              fmt::format("failed to settle addresses for \"{}\": still tentative after {} ms",
                          link.name, kDuplicateDetectionLimit.count()));
}

std::optional<inet::Address> first_gateway(const Result& result, inet::Family family) {
  for (const IpConfig& ip : result.ips) {
    if (ip.gateway && ip.gateway->family() == family) return ip.gateway;
  }
  return std::nullopt;
}

// What an IPv4 route of scope link leads to is on the link itself: the kernel refuses a gateway.
// IPv6 routes have no scope.
bool is_direct(const Route& route) {
  return route.destination.family() == inet::Family::kIpv4 &&
         route.scope.value_or(netlink::kScopeUniverse) >= netlink::kScopeLink;
}

// In the network of an address, but neither that address nor a gateway: to those there are routes.
bool is_other_neighbour(const Result& result, const inet::Address& address) {
  return std::ranges::any_of(result.ips,
                             [&](const IpConfig& ip) { return ip.address.contains(address); }) &&
         std::ranges::none_of(result.ips, [&](const IpConfig& ip) {
           return ip.gateway == address || ip.address.address == address;
         });
}

}  // namespace

void set_up_container_link(const netns::Netns& netns, netlink::Socket& container,
                           const netlink::Link& link, const Result& result, std::size_t interface,
                           const ContainerLinkSettings& settings) {
  const bool ipv6 = has_ipv6(result);
  set_sysctls(netns, link.name, ipv6, settings);
  std::optional<netlink::LinkWatch> watch;
  if (ipv6) watch = netlink::LinkWatch::in(netns);
  std::vector<inet::Network> added;
  for (const IpConfig& ip : result.ips) {
    if (ip.interface != interface) continue;
    netlink::add_address(
        container, link, ip.address,
        {.no_dad = !settings.detect_duplicates, .no_prefix_route = settings.no_prefix_routes});
    added.push_back(ip.address);
  }
  netlink::change_link(container, link, {.up = true});
  if (watch && settings.detect_duplicates) wait_for_duplicate_detection(container, link, *watch);
  if (watch) wait_until_answering(container, link, added, *watch);
}

void add_container_routes(netlink::Socket& container, const netlink::Link& link,
                          const Result& result, const ContainerLinkSettings& settings) {
  for (const Route& wanted : result.routes) {
    const inet::Family family = wanted.destination.family();
    const auto gateway =
        wanted.gateway || is_direct(wanted) ? wanted.gateway : first_gateway(result, family);
    const netlink::Route route = {
        .destination = wanted.destination.masked(),
        .gateway = gateway,
        .link_index = link.index,
        .priority = wanted.priority.value_or(0),
        .table = wanted.table.value_or(netlink::kMainTable),
        .scope = wanted.scope.value_or(netlink::kScopeUniverse),
        .on_link = settings.no_prefix_routes && gateway && is_other_neighbour(result, *gateway),
        .mtu = wanted.mtu,
        .advmss = wanted.advmss,
    };
    try {
      netlink::add_route(container, route);
    } catch (const netlink::KernelError& error) {
      throw Error(Code::kInternal, fmt::format("failed to add route '{} dev {}': {}",
                                               netlink::text(route), link.name, error.what()));
    }
  }
}

}  // namespace cni::attachment
