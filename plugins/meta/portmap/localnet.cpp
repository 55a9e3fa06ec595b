#include "localnet.h"

#include <fmt/format.h>

#include "base/error.h"
#include "netlink/link.h"
#include "netlink/route.h"
#include "netns/sysctl.h"

namespace cni::portmap {
namespace {

std::string sysctl(const std::string& interface) {
  return fmt::format("net/ipv4/conf/{}/route_localnet", interface);
}

}  // namespace

std::optional<std::string> find_interface_to(const inet::Address& address) {
  netlink::Socket socket = netlink::Socket::here();
  const auto way = netlink::find_way(socket, address);
  if (!way || way->type != netlink::kUnicast || !way->link_index) return std::nullopt;
  const auto link = netlink::find_link(socket, *way->link_index);
  return link ? std::optional(link->name) : std::nullopt;
}

bool is_localnet_routed(const std::string& interface) {
  return netns::find_sysctl(sysctl(interface)) == "1";
}

void route_localnet(const std::string& interface) {
  try {
    netns::ensure_sysctl(sysctl(interface), "1");
  } catch (const SystemError& error) {
    // The words by which users of the reference suite know it.
    throw SystemError(error.number(),
                      fmt::format("unable to enable route_localnet: {}", sysctl(interface)));
  }
}

void stop_routing_localnet(const std::string& interface) {
  if (netns::find_sysctl(sysctl(interface)) == "1") netns::ensure_sysctl(sysctl(interface), "0");
}

}  // namespace cni::portmap
