#include "netlink/link.h"

#include <fmt/format.h>
#include <linux/if_link.h>
#include <linux/net_namespace.h>
#include <linux/rtnetlink.h>
#include <linux/veth.h>
#include <net/if.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <span>
#include <vector>

#include "base/text.h"
#include "netlink/message.h"

namespace cni::netlink {
namespace {

constexpr const char* kBridge = "bridge";
constexpr const char* kVeth = "veth";

ifinfomsg link_header(int index = 0) {
  ifinfomsg header{};
  header.ifi_family = AF_UNSPEC;
  header.ifi_index = index;
  return header;
}

// Counters are not asked for.
void leave_out_statistics(Message& message) {
  message.put_u32(IFLA_EXT_MASK, RTEXT_FILTER_SKIP_STATS);
}

std::optional<Link> parse_link(const Answer& answer) {
  const std::span<const std::byte> payload(answer.payload);
  const auto header = Attributes::read_header<ifinfomsg>(payload);
  if (answer.type != RTM_NEWLINK || !header) return std::nullopt;
  const Attributes attributes = Attributes::after_header(payload, sizeof(ifinfomsg));

  Link link;
  link.index = header->ifi_index;
  link.name = attributes.text(IFLA_IFNAME);
  link.up = (header->ifi_flags & IFF_UP) != 0;
  link.carrier = attributes.find_u8(IFLA_CARRIER).value_or(0) != 0;
  link.promiscuous = (header->ifi_flags & IFF_PROMISC) != 0;
  if (const auto bytes = attributes.find(IFLA_ADDRESS); bytes && !bytes->empty()) {
    const auto* first = reinterpret_cast<const std::uint8_t*>(bytes->data());
    link.mac = inet::Mac(std::vector<std::uint8_t>(first, first + bytes->size()));
  }
  if (const auto state = attributes.find_u8(IFLA_OPERSTATE); state && *state <= 6) {
    link.oper_state = static_cast<OperState>(*state);
  }
  link.mtu = attributes.find_u32(IFLA_MTU).value_or(0);
  link.master = attributes.find_i32(IFLA_MASTER);
  link.alias = attributes.text(IFLA_IFALIAS);
  link.peer_index = attributes.find_i32(IFLA_LINK);
  link.link_netnsid = attributes.find_i32(IFLA_LINK_NETNSID);

  const Attributes info = attributes.nested(IFLA_LINKINFO);
  link.kind = info.text(IFLA_INFO_KIND);
  if (link.kind == kBridge) {
    const auto filtering = info.nested(IFLA_INFO_DATA).find_u8(IFLA_BR_VLAN_FILTERING);
    if (filtering) link.vlan_filtering = *filtering != 0;
  }
  if (info.text(IFLA_INFO_SLAVE_KIND) == kBridge) {
    const Attributes port = info.nested(IFLA_INFO_SLAVE_DATA);
    link.port = {.enabled = port.find_u8(IFLA_BRPORT_STATE).value_or(0) != 0,
                 .hairpin = port.find_u8(IFLA_BRPORT_MODE).value_or(0) != 0,
                 .isolated = port.find_u8(IFLA_BRPORT_ISOLATED).value_or(0) != 0};
  }
  return link;
}

std::optional<Link> find_by(Socket& socket, Message& message, const std::string& attempt) {
  leave_out_statistics(message);
  const Outcome outcome = socket.exchange(message, attempt);
  if (outcome.error_number == ENODEV) return std::nullopt;
  if (outcome.error_number != 0) {
    throw KernelError(outcome.error_number, attempt, outcome.explanation);
  }
  for (const Answer& answer : outcome.answers) {
    if (auto link = parse_link(answer)) return link;
  }
  throw KernelError(EPROTO, attempt);
}

bool possible_name(const std::string& name) {
  return !name.empty() && name.size() < IFNAMSIZ && name.find('\0') == std::string::npos;
}

// Users and their scripts know the last three words.
KernelError not_found(const std::string& link) {
  return KernelError::in_words(ENODEV, fmt::format("link {}", link), "Link not found");
}

// What both ends of a veth and a bridge have in common.
struct Basics {
  const std::string& name;
  const std::optional<std::uint32_t>& mtu;
  const std::optional<inet::Mac>& mac;
};

void put_basics(Message& message, const Basics& basics) {
  message.put_text(IFLA_IFNAME, basics.name);
  if (basics.mtu) message.put_u32(IFLA_MTU, *basics.mtu);
  if (basics.mac) message.put_mac(IFLA_ADDRESS, *basics.mac);
}

// Starts a request for a link that must not exist. When it makes a link the kernel looks at name,
// MTU, MAC, master and kind, but not at IFLA_IFALIAS (rtnl_newlink_create() in
// net/core/rtnetlink.c), and settings of a bridge port are for links that are one already.
Message creation(const Basics& basics) {
  Message message(RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL);
  message.put_header(link_header());
  put_basics(message, basics);
  return message;
}

void put_kind(Message& message, const char* kind, const std::function<void()>& data) {
  message.nest(IFLA_LINKINFO, [&] {
    message.put_text(IFLA_INFO_KIND, kind);
    message.nest(IFLA_INFO_DATA, data);
  });
}

void set_flag(ifinfomsg& header, const std::optional<bool>& wanted, unsigned int flag) {
  if (!wanted) return;
  header.ifi_change |= flag;
  if (*wanted) header.ifi_flags |= flag;
}

void put_port_settings(Message& message, const LinkChange& change) {
  message.put_text(IFLA_INFO_SLAVE_KIND, kBridge);
  message.nest(IFLA_INFO_SLAVE_DATA, [&] {
    if (change.hairpin) message.put_u8(IFLA_BRPORT_MODE, *change.hairpin ? 1 : 0);
    if (change.isolated) message.put_u8(IFLA_BRPORT_ISOLATED, *change.isolated ? 1 : 0);
  });
}

bool has_port_settings(const LinkChange& change) {
  return change.hairpin || change.isolated;
}

const char* on_off(bool on) {
  return on ? "on" : "off";
}

// `set link "eth0" up, mtu 1400`
std::string describe(const Link& link, const LinkChange& change) {
  std::vector<std::string> parts;
  if (change.master && *change.master != 0)
    parts.push_back(fmt::format("master {}", *change.master));
  if (change.master && *change.master == 0) parts.emplace_back("without master");
  if (change.name) parts.push_back(fmt::format("name {}", in_quotes(*change.name)));
  if (change.alias) parts.push_back(fmt::format("alias {}", in_quotes(*change.alias)));
  if (change.mac) parts.push_back(fmt::format("mac {}", change.mac->text()));
  if (change.mtu) parts.push_back(fmt::format("mtu {}", *change.mtu));
  if (change.hairpin) parts.push_back(fmt::format("hairpin {}", on_off(*change.hairpin)));
  if (change.isolated) parts.push_back(fmt::format("isolated {}", on_off(*change.isolated)));
  if (change.vlan_filtering) {
    parts.push_back(fmt::format("vlan_filtering {}", on_off(*change.vlan_filtering)));
  }
  if (change.promiscuous) {
    parts.push_back(fmt::format("promiscuous {}", on_off(*change.promiscuous)));
  }
  if (change.up) parts.emplace_back(*change.up ? "up" : "down");
  return fmt::format("set link {} {}", in_quotes(link.name), fmt::join(parts, ", "));
}

}  // namespace

std::string name(OperState state) {
  switch (state) {
    case OperState::kUnknown:
      return "unknown";
    case OperState::kNotPresent:
      return "not present";
    case OperState::kDown:
      return "down";
    case OperState::kLowerLayerDown:
      return "lower layer down";
    case OperState::kTesting:
      return "testing";
    case OperState::kDormant:
      return "dormant";
    case OperState::kUp:
      return "up";
  }
  return "unknown";
}

std::optional<Link> find_link(Socket& socket, const std::string& name) {
  if (!possible_name(name)) return std::nullopt;
  Message message(RTM_GETLINK, 0);
  message.put_header(link_header());
  message.put_text(IFLA_IFNAME, name);
  return find_by(socket, message, fmt::format("find link {}", in_quotes(name)));
}

std::optional<Link> find_link(Socket& socket, int index) {
  // 0 would ask by a name that is not there, and be an error of another kind.
  if (index <= 0) return std::nullopt;
  Message message(RTM_GETLINK, 0);
  message.put_header(link_header(index));
  return find_by(socket, message, fmt::format("find link {}", index));
}

Link get_link(Socket& socket, const std::string& name) {
  auto link = find_link(socket, name);
  if (!link) throw not_found(in_quotes(name));
  return *std::move(link);
}

Link get_link(Socket& socket, int index) {
  auto link = find_link(socket, index);
  if (!link) throw not_found(fmt::format("{}", index));
  return *std::move(link);
}

std::optional<int> find_netnsid(Socket& socket, const netns::Netns& netns) {
  Message message(RTM_GETNSID, 0);
  message.put_header(rtgenmsg{});
  message.put_u32(NETNSA_FD, static_cast<std::uint32_t>(netns.fd()));
  for (const Answer& answer : socket.request(message, "ask for the number of a namespace")) {
    const auto attributes = Attributes::after_header(answer.payload, sizeof(rtgenmsg));
    const auto number = attributes.find_i32(NETNSA_NSID);
    if (number && *number != NETNSA_NSID_NOT_ASSIGNED) return number;
  }
  return std::nullopt;
}

std::vector<Link> links(Socket& socket, const LinkFilter& filter) {
  Message message(RTM_GETLINK, NLM_F_DUMP);
  message.put_header(link_header());
  leave_out_statistics(message);
  if (filter.master) message.put_i32(IFLA_MASTER, *filter.master);
  if (!filter.kind.empty()) {
    message.nest(IFLA_LINKINFO, [&] { message.put_text(IFLA_INFO_KIND, filter.kind); });
  }
  std::vector<Link> found;
  for (const Answer& answer : socket.request(message, "list links")) {
    std::optional<Link> link = parse_link(answer);
    if (!link) continue;
    // The kernel passes over the name of a kind that it does not know (yet).
    if (!filter.kind.empty() && link->kind != filter.kind) continue;
    found.push_back(*std::move(link));
  }
  std::ranges::sort(found, {}, &Link::index);
  return found;
}

bool is_kind_supported(Socket& socket, const std::string& kind) {
  // The number of queues is refused (rtnl_create_link() in net/core/rtnetlink.c), but an unknown
  // kind before that.
  constexpr std::uint32_t kImpossible = 0xffff;
  Message message(RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL);
  message.put_header(link_header());
  message.put_u32(IFLA_NUM_TX_QUEUES, kImpossible);
  message.nest(IFLA_LINKINFO, [&] { message.put_text(IFLA_INFO_KIND, kind); });
  const std::string attempt = fmt::format("ask for links of kind {}", in_quotes(kind));
  const Outcome outcome = socket.exchange(message, attempt);
  if (outcome.error_number == EOPNOTSUPP) return false;
  if (outcome.error_number == EINVAL) return true;
  throw KernelError(outcome.error_number, attempt, outcome.explanation);
}

void add_bridge(Socket& socket, const BridgeSpec& spec) {
  Message message = creation({.name = spec.name, .mtu = spec.mtu, .mac = spec.mac});
  put_kind(message, kBridge, [&] {
    if (spec.vlan_filtering) message.put_u8(IFLA_BR_VLAN_FILTERING, 1);
  });
  socket.request(message, fmt::format("add bridge {}", in_quotes(spec.name)));
}

void add_veth(Socket& socket, const VethSpec& spec) {
  // The host end comes first, since the kernel heeds IFLA_MASTER for this end only; the other one
  // is data of the kind (veth_newlink() in drivers/net/veth.c).
  const VethSpec::HostEnd& host = spec.host;
  const VethSpec::ContainerEnd& container = spec.container;
  Message message = creation({.name = host.name, .mtu = host.mtu, .mac = host.mac});
  if (host.master) message.put_i32(IFLA_MASTER, *host.master);
  put_kind(message, kVeth, [&] {
    message.nest(VETH_INFO_PEER, [&] {
      message.put_header(link_header());
      put_basics(message, {.name = container.name, .mtu = container.mtu, .mac = container.mac});
      if (container.netns != nullptr) message.put_i32(IFLA_NET_NS_FD, container.netns->fd());
    });
  });
  socket.request(message, fmt::format("add veth {} with peer {}", in_quotes(host.name),
                                      in_quotes(container.name)));
}

void change_link(Socket& socket, const Link& link, const LinkChange& change) {
  if (change.master && has_port_settings(change)) {
    // The kernel hands port settings to the master that the link has before the message.
    change_link(socket, link, {.master = change.master});
    LinkChange rest = change;
    rest.master.reset();
    change_link(socket, link, rest);
    return;
  }

  Message message(RTM_NEWLINK, 0);
  ifinfomsg header = link_header(link.index);
  set_flag(header, change.up, IFF_UP);
  set_flag(header, change.promiscuous, IFF_PROMISC);
  message.put_header(header);
  if (change.name) message.put_text(IFLA_IFNAME, *change.name);
  if (change.alias) {
    // Without the final NUL, so that an empty one is 0 bytes long: that removes the alias.
    message.put_bytes(IFLA_IFALIAS, std::as_bytes(std::span(*change.alias)));
  }
  if (change.master) message.put_i32(IFLA_MASTER, *change.master);
  if (change.mac) message.put_mac(IFLA_ADDRESS, *change.mac);
  if (change.mtu) message.put_u32(IFLA_MTU, *change.mtu);
  if (has_port_settings(change) || change.vlan_filtering) {
    message.nest(IFLA_LINKINFO, [&] {
      if (has_port_settings(change)) put_port_settings(message, change);
      if (change.vlan_filtering) {
        message.put_text(IFLA_INFO_KIND, kBridge);
        message.nest(IFLA_INFO_DATA, [&] {
          message.put_u8(IFLA_BR_VLAN_FILTERING, *change.vlan_filtering ? 1 : 0);
        });
      }
    });
  }
  socket.request(message, describe(link, change));
}

bool delete_link_if_exists(Socket& socket, int index) {
  // Without an index the kernel would go by other criteria.
  if (index <= 0) return false;
  Message message(RTM_DELLINK, 0);
  message.put_header(link_header(index));
  return socket.try_change(message, fmt::format("delete link {}", index), {ENODEV});
}

bool delete_link_if_exists(Socket& socket, const std::string& name) {
  if (!possible_name(name)) return false;
  Message message(RTM_DELLINK, 0);
  message.put_header(link_header());
  message.put_text(IFLA_IFNAME, name);
  return socket.try_change(message, fmt::format("delete link {}", in_quotes(name)), {ENODEV});
}

}  // namespace cni::netlink
