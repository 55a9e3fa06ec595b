#include "host_listeners.h"

#include <algorithm>
#include <map>

#include "base/log.h"
#include "netlink/listener.h"

namespace cni::portmap {
namespace {

using inet::Family;

struct Stretch {
  std::uint16_t first;
  std::uint16_t last;
};

// Of each protocol, from the lowest to the highest port.
std::map<Protocol, Stretch> stretches_of(const std::vector<Run>& runs) {
  std::map<Protocol, Stretch> stretches;
  for (const Run& run : runs) {
    Stretch& stretch =
        stretches.try_emplace(run.protocol, Stretch{run.host_port, run.last_port()}).first->second;
    stretch.first = std::min(stretch.first, run.host_port);
    stretch.last = std::max(stretch.last, run.last_port());
  }
  return stretches;
}

void warn(Family family, const std::vector<Run>& runs) {
  const PortIndex index(runs);
  netlink::Socket socket = netlink::Socket::here(netlink::Protocol::kSockets);
  for (const auto& [protocol, stretch] : stretches_of(runs)) {
    for (const netlink::Listener& listener : netlink::listeners(
             socket, family, static_cast<std::uint8_t>(protocol), stretch.first, stretch.last)) {
      Run port{.protocol = protocol, .host_port = listener.port, .container_port = listener.port};
      if (!listener.address.is_unspecified()) port.host_ip = listener.address;
      if (index.colliding(port).empty()) continue;
      log::warning(
          "host port {}/{}: a program of the host listens at {}, and gets nothing that is sent "
          "there while the port leads to a container",
          listener.port, name(protocol), listener.address.text());
    }
  }
}

}  // namespace

void warn_of_listeners(Family family, const std::vector<Run>& runs) {
  try {
    if (!runs.empty()) warn(family, runs);
  } catch (const std::exception& error) {
    log::warning("{}, ignoring", error.what());
  }
}

}  // namespace cni::portmap
