#include "attachment/check_container_link.h"

#include <fmt/format.h>

#include <algorithm>

#include "netlink/address.h"
#include "netlink/route.h"
#include "protocol/error.h"

namespace cni::attachment {
namespace {

bool is_in_namespace(const std::string& sandbox, const Request& request) {
  if (sandbox == request.environment.netns) return true;
  try {
    const auto other = netns::Netns::find(sandbox);
    return other && *other == *request.netns;
  } catch (const netns::InvalidNetns&) {
    return false;
  }
}

bool has_gateway(const netlink::Route& route, const inet::Address& gateway) {
  return route.gateway == gateway ||
         std::ranges::any_of(route.next_hops,
                             [&](const netlink::NextHop& hop) { return hop.gateway == gateway; });
}

bool matches(const netlink::Route& route, const Route& expected) {
  return route.destination == expected.destination.masked() &&
         (!expected.gateway || has_gateway(route, *expected.gateway)) &&
         (!expected.table || route.table == *expected.table) &&
         (!expected.priority || route.priority == *expected.priority);
}

std::string text(const Route& route) {
  std::string out = route.destination.text();
  if (route.gateway) out += fmt::format(" via {}", route.gateway->text());
  if (route.priority) out += fmt::format(" metric {}", *route.priority);
  if (route.table) out += fmt::format(" table {}", *route.table);
  return out;
}

}  // namespace

void Differences::finish() const {
  if (sentences_.empty()) return;
  throw Error(Code::kInternal, fmt::format("{}", fmt::join(sentences_, "; ")));
}

const Interface& get_container_interface(const Request& request, const Result& previous) {
  const std::string& ifname = request.environment.ifname;
  std::string sandbox;
  for (const Interface& interface : previous.interfaces) {
    if (interface.name != ifname || interface.sandbox.empty()) continue;
    if (is_in_namespace(interface.sandbox, request)) return interface;
    sandbox = interface.sandbox;
  }
  if (!sandbox.empty()) {
    throw Error(Code::kInternal, fmt::format("Sandbox in prevResult {} doesn't match configured "
                                             "netns: {}",
                                             sandbox, request.environment.netns));
  }
  throw Error(Code::kInternal,
              fmt::format("interface \"{}\" is not in prevResult with a sandbox", ifname));
}

bool is_on_interface(const IpConfig& ip, const Interface& interface, const Result& previous) {
  return !ip.interface || &previous.interfaces[*ip.interface] == &interface;
}

std::optional<netlink::Link> check_link(netlink::Socket& socket, const Interface& expected,
                                        const std::string& kind, Differences& differences) {
  std::optional<netlink::Link> link = netlink::find_link(socket, expected.name);
  const auto differs = [&](const std::string& what, const std::string& is,
                           const std::string& should_be) {
    differences.add(
        fmt::format("{} of link \"{}\" is {}, not {}", what, expected.name, is, should_be));
  };
  if (!link) {
    differences.add(fmt::format("link \"{}\": Link not found", expected.name));
    return std::nullopt;
  }
  if (link->kind != kind) differs("kind", fmt::format("\"{}\"", link->kind), kind);
  if (!link->up) differences.add(fmt::format("link \"{}\" is down", expected.name));
  const std::string mac = link->mac ? link->mac->text() : "";
  const auto expected_mac = inet::Mac::parse(expected.mac);
  if (expected_mac && expected_mac != link->mac) differs("MAC", mac, expected_mac->text());
  if (expected.mtu && *expected.mtu != link->mtu) {
    differs("MTU", std::to_string(link->mtu), std::to_string(*expected.mtu));
  }
  return link;
}

const Interface* find_host_interface(const Result& previous, const std::string& name) {
  const auto found = std::ranges::find_if(previous.interfaces, [&](const Interface& interface) {
    return interface.name == name && interface.sandbox.empty();
  });
  return found == previous.interfaces.end() ? nullptr : &*found;
}

std::optional<netlink::Link> check_host_end(netlink::Socket& host, const netlink::Link& container,
                                            const Result& previous, const std::string& missing,
                                            Differences& differences) {
  std::optional<netlink::Link> link;
  if (container.peer_index) link = netlink::find_link(host, *container.peer_index);
  const Interface* expected = link ? find_host_interface(previous, link->name) : nullptr;
  if (expected == nullptr || link->peer_index != container.index) {
    differences.add(missing);
    return std::nullopt;
  }
  check_link(host, *expected, "veth", differences);
  return link;
}

void check_addresses_and_routes(netlink::Socket& container, const netlink::Link& link,
                                const Interface& expected, const Result& previous,
                                Differences& differences) {
  const auto addresses = netlink::addresses(container, {.link_index = link.index});
  for (const IpConfig& ip : previous.ips) {
    if (!is_on_interface(ip, expected, previous)) continue;
    if (std::ranges::find(addresses, ip.address, &netlink::InterfaceAddress::network) ==
        addresses.end()) {
      differences.add(
          fmt::format("Failed to match addr {} on interface {}", ip.address.text(), link.name));
    }
  }
  if (previous.routes.empty()) return;
  const auto routes = netlink::routes(container, {.table = std::nullopt});
  for (const Route& route : previous.routes) {
    if (std::ranges::none_of(routes, [&](const auto& found) { return matches(found, route); })) {
      differences.add(fmt::format("Expected Route {} not found in routing table", text(route)));
    }
  }
}

}  // namespace cni::attachment
