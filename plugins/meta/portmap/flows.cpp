#include "flows.h"

#include <algorithm>

#include "base/log.h"
#include "netlink/address.h"
#include "netlink/conntrack.h"
#include "netlink/netlink_socket.h"

namespace cni::portmap {
namespace {

std::vector<inet::Address> own_addresses(inet::Family family) {
  netlink::Socket socket = netlink::Socket::here();
  std::vector<inet::Address> addresses;
  for (const auto& one : netlink::addresses(socket, {.family = family})) {
    addresses.push_back(one.network.address);
  }
  return addresses;
}

std::vector<netlink::FlowFilter> filters_for(inet::Family family, const std::vector<Run>& runs,
                                             const std::optional<inet::Address>& container) {
  std::vector<inet::Address> destinations;
  std::vector<netlink::FlowFilter> filters;
  for (const Run& run : runs) {
    if (run.protocol == Protocol::kTcp) continue;
    netlink::FlowFilter filter{.family = family,
                               .protocol = static_cast<std::uint8_t>(run.protocol),
                               .destination = run.host_ip,
                               .first_port = run.host_port,
                               .last_port = run.last_port(),
                               .reply_source = container};
    if (container || run.host_ip) {
      filters.push_back(filter);
      continue;
    }
    // Not what only passes through this host.
    if (destinations.empty()) destinations = own_addresses(family);
    for (const inet::Address& destination : destinations) {
      filter.destination = destination;
      filters.push_back(filter);
    }
  }
  return filters;
}

}  // namespace

void forget_flows(inet::Family family, const std::vector<Run>& runs,
                  const std::optional<inet::Address>& container) {
  try {
    const auto filters = filters_for(family, runs, container);
    if (!filters.empty() && !netlink::delete_flows(filters)) {
      log::warning("cannot list the flows of connection tracking, ignoring");
    }
  } catch (const std::exception& error) {
    log::warning("{}, ignoring", error.what());
  }
}

}  // namespace cni::portmap
