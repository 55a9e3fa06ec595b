#include "netlink/bridge_vlan.h"

#include <fmt/format.h>
#include <linux/if_bridge.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <sys/socket.h>

#include <algorithm>
#include <optional>
#include <span>
#include <string>

#include "base/text.h"
#include "netlink/message.h"

namespace cni::netlink {
namespace {

// IEEE 802.1Q reserves 4095.
constexpr std::uint16_t kLastVlan = 4094;

ifinfomsg bridge_header(int index) {
  ifinfomsg header{};
  header.ifi_family = AF_BRIDGE;
  header.ifi_index = index;
  return header;
}

PortVlan port_vlan(std::uint16_t id, std::uint16_t flags) {
  return {.id = id,
          .pvid = (flags & BRIDGE_VLAN_INFO_PVID) != 0,
          .untagged = (flags & BRIDGE_VLAN_INFO_UNTAGGED) != 0};
}

// Each entry is one VLAN, or an entry "begin" is followed by one "end" of the same flags.
std::vector<PortVlan> parse_vlans(const Attributes& bridge) {
  std::vector<PortVlan> vlans;
  std::optional<std::uint16_t> begin;
  bridge.for_each([&](int attribute, std::span<const std::byte> payload) {
    const auto info = Attributes::read_value<bridge_vlan_info>(payload);
    if (attribute != IFLA_BRIDGE_VLAN_INFO || !info || info->vid == 0 || info->vid > kLastVlan)
      return;
    if ((info->flags & BRIDGE_VLAN_INFO_RANGE_BEGIN) != 0) {
      begin = info->vid;
      return;
    }
    for (unsigned int id = begin.value_or(info->vid); id <= info->vid; ++id) {
      vlans.push_back(port_vlan(static_cast<std::uint16_t>(id), info->flags));
    }
    begin.reset();
  });
  std::ranges::sort(vlans);
  return vlans;
}

void change_vlans(Socket& socket, std::uint16_t type, const Link& port,
                  const std::vector<PortVlan>& vlans, const std::string& attempt) {
  if (vlans.empty()) return;
  Message message(type, 0);
  message.put_header(bridge_header(port.index));
  message.nest(IFLA_AF_SPEC, [&] {
    // The bridge is to act, not a switch chip behind the port.
    message.put_u16(IFLA_BRIDGE_FLAGS, BRIDGE_FLAGS_MASTER);
    for (const PortVlan& vlan : vlans) {
      bridge_vlan_info info{};
      info.vid = vlan.id;
      if (type == RTM_SETLINK) {
        info.flags = static_cast<std::uint16_t>((vlan.pvid ? BRIDGE_VLAN_INFO_PVID : 0) |
                                                (vlan.untagged ? BRIDGE_VLAN_INFO_UNTAGGED : 0));
      }
      message.put_value(IFLA_BRIDGE_VLAN_INFO, info);
    }
  });
  socket.request(message, attempt);
}

std::string list(const std::vector<PortVlan>& vlans) {
  constexpr std::size_t kShown = 5;
  std::string text;
  for (const PortVlan& vlan : std::span(vlans).first(std::min(kShown, vlans.size()))) {
    text += fmt::format("{}{}", text.empty() ? "" : ",", vlan.id);
  }
  return vlans.size() > kShown ? text + ",..." : text;
}

}  // namespace

std::vector<PortVlan> port_vlans(Socket& socket, const Link& port) {
  // This kind of dump takes no index.
  Message message(RTM_GETLINK, NLM_F_DUMP);
  message.put_header(bridge_header(0));
  message.put_u32(IFLA_EXT_MASK, RTEXT_FILTER_BRVLAN);
  for (const Answer& answer :
       socket.request(message, fmt::format("list VLANs of link {}", in_quotes(port.name)))) {
    const std::span<const std::byte> payload(answer.payload);
    const auto header = Attributes::read_header<ifinfomsg>(payload);
    if (answer.type != RTM_NEWLINK || !header || header->ifi_index != port.index) continue;
    return parse_vlans(Attributes::after_header(payload, sizeof(ifinfomsg)).nested(IFLA_AF_SPEC));
  }
  return {};
}

void add_port_vlans(Socket& socket, const Link& port, const std::vector<PortVlan>& vlans) {
  change_vlans(socket, RTM_SETLINK, port, vlans,
               fmt::format("add VLANs {} to link {}", list(vlans), in_quotes(port.name)));
}

void delete_port_vlans(Socket& socket, const Link& port, const std::vector<PortVlan>& vlans) {
  change_vlans(socket, RTM_DELLINK, port, vlans,
               fmt::format("delete VLANs {} of link {}", list(vlans), in_quotes(port.name)));
}

}  // namespace cni::netlink
