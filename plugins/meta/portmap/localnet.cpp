#include "localnet.h"

#include <fmt/format.h>

#include "base/error.h"
#include "netlink/link.h"
#include "netlink/route.h"
#include "netns/sysctl.h"
#include "state/directory_store.h"

namespace cni::portmap {
namespace {

constexpr const char* kMarks = "/run/cni/plumb/localnet";

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

bool is_interface(const std::string& name) {
  netlink::Socket socket = netlink::Socket::here();
  return netlink::find_link(socket, name).has_value();
}

bool is_localnet_routed(const std::string& interface) {
  return netns::find_sysctl(sysctl(interface)) == "1";
}

void mark_localnet(const std::string& interface) {
  state::DirectoryStore::ensure(kMarks, 0755).create(interface, "", 0600);
}

bool is_marked(const std::string& interface) {
  const auto marks = state::DirectoryStore::find(kMarks);
  return marks && marks->read(interface, 0).kind == state::Kind::kFile;
}

std::vector<std::string> marked_interfaces() {
  const auto marks = state::DirectoryStore::find(kMarks);
  return marks ? marks->names() : std::vector<std::string>();
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
  if (const auto marks = state::DirectoryStore::find(kMarks)) marks->delete_if_exists(interface);
}

}  // namespace cni::portmap
