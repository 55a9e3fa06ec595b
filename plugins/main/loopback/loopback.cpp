// loopback: sets the interface "lo" of a container up and reports its addresses.
//
// Nothing is left on the host, so DEL without the container's namespace and GC have nothing to do.

#include <fmt/format.h>

#include <algorithm>

#include "netlink/address.h"
#include "netlink/link.h"
#include "netlink/netlink_socket.h"
#include "netns/netns.h"
#include "protocol/error.h"
#include "protocol/plugin.h"

namespace cni::loopback {
namespace {

// Whatever CNI_IFNAME says.
constexpr const char* kName = "lo";

// The first address of each family. Throws Error 999 if any is none of a loopback.
std::vector<IpConfig> loopback_addresses(netlink::Socket& container, const netlink::Link& link) {
  std::vector<IpConfig> ips;
  for (const inet::Family family : {inet::Family::kIpv4, inet::Family::kIpv6}) {
    const auto addresses =
        netlink::addresses(container, {.link_index = link.index, .family = family});
    for (const netlink::InterfaceAddress& each : addresses) {
      if (each.network.address.is_loopback()) continue;
      throw Error(Code::kInternal,
                  fmt::format("loopback interface found with non-loopback address \"{}\"",
                              each.network.address.text()));
    }
    if (!addresses.empty()) ips.push_back({.address = addresses.front().network, .interface = 0});
  }
  return ips;
}

Result add(const Request& request, Undo& undo) {
  const std::optional<Result> previous = request.conf.find_prev_result();
  netlink::Socket container = netlink::Socket::in(*request.netns);
  const netlink::Link link = netlink::get_link(container, kName);
  if (!link.up) {
    // A namespace that another attachment set up stays so.
    undo.add("set lo down", [&request] {
      netlink::Socket again = netlink::Socket::in(*request.netns);
      netlink::change_link(again, netlink::get_link(again, kName), {.up = false});
    });
    netlink::change_link(container, link, {.up = true});
  }
  std::vector<IpConfig> ips = loopback_addresses(container, link);
  if (previous) return *previous;
  return {.interfaces = {{.name = kName,
                          .mac = "00:00:00:00:00:00",
                          .sandbox = request.environment.netns}},
          .ips = std::move(ips)};
}

void check(const Request& request) {
  netlink::Socket container = netlink::Socket::in(*request.netns);
  const netlink::Link link = netlink::get_link(container, kName);
  if (!link.up) throw Error(Code::kInternal, "loopback interface is down");
}

void del(const Request& request) {
  if (!request.netns) return;
  netlink::Socket container = netlink::Socket::in(*request.netns);
  const netlink::Link link = netlink::get_link(container, kName);
  if (link.up) netlink::change_link(container, link, {.up = false});
}

// Every kernel with network namespaces has a loopback in each; what is left to find out is whether
// we may enter one and change a link there.
void status(const Request& /*request*/) {
  netlink::Socket host = netlink::Socket::in(netns::Netns::own());
  netlink::change_link(host, netlink::get_link(host, kName), {});
}

void nothing_to_collect(const Request& /*request*/) {}

}  // namespace
}  // namespace cni::loopback

int main() {
  using namespace cni;
  return run_plugin({.name = "loopback",
                     .add = loopback::add,
                     .check = loopback::check,
                     .del = loopback::del,
                     .status = loopback::status,
                     .gc = loopback::nothing_to_collect});
}
