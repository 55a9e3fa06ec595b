#include "bridge_device.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

#include "attachment/ipv6.h"
#include "attachment/mtu.h"
#include "attachment/veth_pair.h"
#include "base/digest.h"
#include "base/error.h"
#include "base/file.h"
#include "base/log.h"
#include "base/text.h"
#include "netlink/bridge_vlan.h"
#include "protocol/error.h"

namespace cni::bridge {
namespace {

constexpr const char* kLockDirectory = "/run/cni/plumb";
// Marks a bridge as made by this plugin.
constexpr const char* kAlias = "plumb bridge";

// The same after every reboot, another one on every machine. A locally administered unicast
// address.
inet::Mac stable_mac(const std::string& bridge) {
  std::string machine;
  try {
    machine = trim(find_file("/etc/machine-id", 4096).value_or(""));
  } catch (const IoError& error) {
    log::info("{}, ignoring", error.what());
  }
  if (machine.empty()) {
    std::string name(256, '\0');
    if (::gethostname(name.data(), name.size() - 1) == 0) machine = name.c_str();
  }
  const std::string digest = sha512_hex(fmt::format("bridge {} {}", machine, bridge), 12);
  std::vector<std::uint8_t> bytes;
  for (std::size_t at = 0; at < digest.size(); at += 2) {
    bytes.push_back(static_cast<std::uint8_t>(std::stoul(digest.substr(at, 2), nullptr, 16)));
  }
  bytes.front() = static_cast<std::uint8_t>((bytes.front() & 0xfcU) | 2U);
  return inet::Mac(std::move(bytes));
}

// Or its maker was killed before he could mark it: then it has the MAC that only we give.
bool is_ours(const netlink::Link& bridge) {
  return bridge.alias == kAlias || (bridge.alias.empty() && bridge.mac == stable_mac(bridge.name));
}

// Takes the bridge away again unless it has ports.
void delete_bridge_if_unused(const std::string& bridge) {
  netlink::Socket host = netlink::Socket::here();
  const state::FileLock lock = lock_bridge(bridge);
  const std::optional<netlink::Link> link = netlink::find_link(host, bridge);
  if (!link || link->kind != "bridge") return;
  if (!netlink::links(host, {.master = link->index}).empty()) return;
  netlink::delete_link_if_exists(host, link->index);
}

std::string no_vlan_filtering(const std::string& bridge) {
  return fmt::format(
      "bridge \"{}\" cannot tell VLANs apart, which the keys \"vlan\" and \"vlanTrunk\" need: "
      "this kernel is built without bridge VLAN filtering",
      bridge);
}

// Returns whether it was this call that made it.
bool add_bridge_unless_there(netlink::Socket& host, const Config& config,
                             const std::optional<std::uint32_t>& mtu) {
  try {
    netlink::add_bridge(host, {.name = config.bridge,
                               .mtu = mtu,
                               .mac = stable_mac(config.bridge),
                               .vlan_filtering = config.vlan_filtering});
    return true;
  } catch (const netlink::KernelError& error) {
    if (error.number() == EEXIST) return false;
    if (error.number() == EOPNOTSUPP && config.vlan_filtering) {
      throw Error(Code::kInternal, no_vlan_filtering(config.bridge), error.what());
    }
    throw;
  }
}

// Somebody else's bridge keeps its VLAN setting: its other ports may rely on it.
std::optional<std::string> find_vlan_obstacle(netlink::Socket& host, const netlink::Link& bridge,
                                              bool ours, const Config& config) {
  if (!config.vlan_filtering || bridge.vlan_filtering == true) return std::nullopt;
  // Where VLANs are known a bridge is in its default one, also while it does not filter.
  const bool supported = !netlink::port_vlans(host, bridge).empty();
  if (ours && !supported) return no_vlan_filtering(bridge.name);
  if (ours) return std::nullopt;  // it will be switched on
  return fmt::format(
      "bridge \"{0}\" was made by somebody else and does not tell VLANs apart, which the keys "
      "\"vlan\" and \"vlanTrunk\" need; run: ip link set {0} type bridge vlan_filtering 1",
      bridge.name);
}

// The MTU is left to the kernel, which gives the bridge that of its smallest port.
netlink::LinkChange needed_change(const BridgeDevice& bridge, const Config& config) {
  netlink::LinkChange change;
  const netlink::Link& link = bridge.link;
  if (bridge.ours && link.alias != kAlias) change.alias = kAlias;
  if (!link.up) change.up = true;
  if (config.promiscuous && !link.promiscuous) change.promiscuous = true;
  if (bridge.ours && config.vlan_filtering && link.vlan_filtering != true) {
    change.vlan_filtering = true;
  }
  // Writing the MAC pins it, whoever chose it.
  if (!bridge.ours) change.mac = link.mac;
  return change;
}

bool is_empty(const netlink::LinkChange& change) {
  return !change.alias && !change.up && !change.promiscuous && !change.vlan_filtering &&
         !change.mac;
}

}  // namespace

state::FileLock lock_bridge(const std::string& bridge) {
  ensure_directory(kLockDirectory, 0755);
  return state::FileLock::acquire(fmt::format("{}/{}.lock", kLockDirectory, bridge));
}

void require_bridge(const netlink::Link& link) {
  if (link.kind == "bridge") return;
  throw Error(
      Code::kInvalidConfig,
      fmt::format("failed to create bridge \"{0}\": \"{0}\" already exists but is not a bridge",
                  link.name),
      fmt::format("key \"bridge\" is \"{}\"", link.name));
}

BridgeDevice ensure_bridge(netlink::Socket& host, const Config& config,
                           std::optional<std::uint32_t> mtu, Undo& undo) {
  const std::string& name = config.bridge;
  std::optional<netlink::Link> link = netlink::find_link(host, name);
  if (!link) {
    const bool made = add_bridge_unless_there(host, config, mtu);
    if (made) undo.add("remove the bridge", [name] { delete_bridge_if_unused(name); });
    link = netlink::get_link(host, name);
  }
  require_bridge(*link);
  const bool ours = is_ours(*link);
  const bool idle = link->oper_state != netlink::OperState::kUp;
  BridgeDevice bridge{.link = *std::move(link), .ours = ours, .repairable = ours && idle};
  if (const auto obstacle = find_vlan_obstacle(host, bridge.link, ours, config)) {
    throw Error(Code::kInternal, *obstacle);
  }
  attachment::refuse_router_advertisements(name);
  const netlink::LinkChange change = needed_change(bridge, config);
  if (!is_empty(change)) {
    netlink::change_link(host, bridge.link, change);
    bridge.link = netlink::get_link(host, bridge.link.index);
  }
  return bridge;
}

std::optional<std::string> find_obstacle(netlink::Socket& host, const Config& config) {
  if (auto obstacle = attachment::find_mtu_obstacle(host, config.mtu)) return obstacle;
  if (auto missing = attachment::find_missing_kind(host, {"bridge", "veth"})) return missing;
  const std::optional<netlink::Link> link = netlink::find_link(host, config.bridge);
  if (!link) return std::nullopt;
  if (link->kind != "bridge") {
    return fmt::format("\"{}\" already exists but is not a bridge", link->name);
  }
  return find_vlan_obstacle(host, *link, is_ours(*link), config);
}

}  // namespace cni::bridge
