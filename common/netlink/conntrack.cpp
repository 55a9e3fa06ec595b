#include "netlink/conntrack.h"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_conntrack.h>
#include <linux/netlink.h>

#include <algorithm>
#include <cerrno>
#include <map>
#include <span>
#include <utility>
#include <vector>

#include "netlink/message.h"
#include "netlink/netlink_socket.h"

namespace cni::netlink {
namespace {

// Which parts of a tuple a CTA_FILTER compares. No header of the kernel's has them for programs:
// they are the numbers of the enum in net/netfilter/nf_internals.h, as bits.
//
// Addresses of IPv6 are left out: up to Linux 6.18 at least, the kernel lists the flows that do not
// have the address (ctnetlink_filter_match_tuple()). So is the direction of the reply, of which
// 5.8 reads the parts that were asked for of the other one (ctnetlink_alloc_filter()).
constexpr std::uint32_t kCompareDestination = 1U << 1U;
constexpr std::uint32_t kCompareProtocol = 1U << 3U;
constexpr std::uint32_t kCompareDestinationPort = 1U << 5U;

constexpr std::size_t kHeaderSize = sizeof(nfgenmsg);

// What filters look at.
struct Flow {
  std::uint8_t protocol = 0;
  std::optional<inet::Address> destination;
  std::optional<std::uint16_t> port;
  std::optional<inet::Address> reply_source;
};

std::optional<inet::Address> tuple_address(const Attributes& tuple, int ipv4, int ipv6) {
  const Attributes addresses = tuple.nested(CTA_TUPLE_IP);
  const auto found = addresses.find_address(ipv4);
  return found ? found : addresses.find_address(ipv6);
}

Flow read_flow(const Attributes& attributes) {
  const Attributes original = attributes.nested(CTA_TUPLE_ORIG);
  const Attributes protocol = original.nested(CTA_TUPLE_PROTO);
  Flow flow{.protocol = protocol.find_u8(CTA_PROTO_NUM).value_or(0),
            .destination = tuple_address(original, CTA_IP_V4_DST, CTA_IP_V6_DST),
            .port = protocol.find_u16(CTA_PROTO_DST_PORT),
            .reply_source =
                tuple_address(attributes.nested(CTA_TUPLE_REPLY), CTA_IP_V4_SRC, CTA_IP_V6_SRC)};
  if (flow.port) flow.port = ntohs(*flow.port);
  return flow;
}

bool wants_any_port(const FlowFilter& filter) {
  return filter.first_port == 0 && filter.last_port == 65535;
}

bool fits(const Flow& flow, const FlowFilter& filter) {
  return (!filter.protocol || flow.protocol == *filter.protocol) &&
         (!filter.destination || flow.destination == filter.destination) &&
         (!filter.reply_source || flow.reply_source == filter.reply_source) &&
         (wants_any_port(filter) ||
          (flow.port && *flow.port >= filter.first_port && *flow.port <= filter.last_port));
}

// The filters of one family and protocol, which one reading of the table serves.
class Group {
 public:
  explicit Group(std::vector<FlowFilter> filters) : filters_(std::move(filters)) {
    std::ranges::sort(filters_, {}, &FlowFilter::first_port);
    std::uint16_t highest = 0;
    for (const FlowFilter& filter : filters_) {
      highest = std::max(highest, filter.last_port);
      highest_before_.push_back(highest);
    }
  }

  // Looks only at filters whose ports may fit: there may be thousands, and a hundred thousand
  // flows.
  bool fit(const Flow& flow) const {
    const std::uint16_t port = flow.port.value_or(0);
    auto at = static_cast<std::size_t>(
        std::ranges::upper_bound(filters_, port, {}, &FlowFilter::first_port) - filters_.begin());
    for (; at > 0 && highest_before_[at - 1] >= port; --at) {
      if (fits(flow, filters_[at - 1])) return true;
    }
    return false;
  }

  // Asks the kernel for flows; with `filtering`, only for those that have what all filters here
  // want. Kernels before 5.8 pass over what they do not know and list all.
  Message request(bool filtering) const {
    Message message({.subsystem = NFNL_SUBSYS_CTNETLINK,
                     .message = IPCTNL_MSG_CT_GET,
                     .family = address_family(filters_.front().family),
                     .question = true},
                    NLM_F_DUMP);
    if (filtering) put_filter(message);
    return message;
  }

 private:
  std::optional<inet::Address> common_destination() const {
    const auto& destination = filters_.front().destination;
    const bool all = std::ranges::all_of(
        filters_, [&](const FlowFilter& filter) { return filter.destination == destination; });
    return all ? destination : std::nullopt;
  }

  std::optional<std::uint16_t> common_port() const {
    const std::uint16_t port = filters_.front().first_port;
    const bool all = std::ranges::all_of(filters_, [&](const FlowFilter& filter) {
      return filter.first_port == port && filter.last_port == port;
    });
    return all ? std::optional(port) : std::nullopt;
  }

  void put_filter(Message& message) const {
    const FlowFilter& first = filters_.front();
    const auto destination =
        first.family == inet::Family::kIpv4 ? common_destination() : std::nullopt;
    const auto port = first.protocol ? common_port() : std::nullopt;
    const std::uint32_t parts = (destination ? kCompareDestination : 0) |
                                (first.protocol ? kCompareProtocol : 0) |
                                (port ? kCompareDestinationPort : 0);
    if (parts == 0) return;
    message.nest(CTA_FILTER, [&] {
      message.put_u32(CTA_FILTER_ORIG_FLAGS, parts);
      message.put_u32(CTA_FILTER_REPLY_FLAGS, 0);
    });
    message.nest(CTA_TUPLE_ORIG, [&] {
      if (destination) {
        message.nest(CTA_TUPLE_IP, [&] { message.put_address(CTA_IP_V4_DST, *destination); });
      }
      if (first.protocol) {
        message.nest(CTA_TUPLE_PROTO, [&] {
          message.put_u8(CTA_PROTO_NUM, *first.protocol);
          if (port) message.put_u16(CTA_PROTO_DST_PORT, htons(*port));
        });
      }
    });
  }

  std::vector<FlowFilter> filters_;            // by first port
  std::vector<std::uint16_t> highest_before_;  // the highest last port up to each of them
};

// What names a flow in a request to delete it, as the kernel wrote it in the list.
struct FlowName {
  std::uint8_t family;
  std::vector<std::byte> original;  // CTA_TUPLE_ORIG
  // Tells the flow from a later one of the same addresses and ports.
  std::optional<std::uint32_t> id;
  std::optional<std::uint16_t> zone;
};

bool delete_flow_if_exists(Socket& socket, const FlowName& flow) {
  Message message({.subsystem = NFNL_SUBSYS_CTNETLINK,
                   .message = IPCTNL_MSG_CT_DELETE,
                   .family = flow.family,
                   .question = false},
                  0);
  // Without a tuple it would mean all flows.
  message.put_bytes(CTA_TUPLE_ORIG | NLA_F_NESTED, flow.original);
  if (flow.id) message.put_value(CTA_ID, *flow.id);
  if (flow.zone) message.put_value(CTA_ZONE, *flow.zone);
  return socket.try_change(message, "delete a flow of connection tracking", {ENOENT});
}

// Nothing if the kernel cannot list flows.
std::optional<std::vector<FlowName>> find_flows(Socket& socket, const Group& group) {
  constexpr const char* kAttempt = "list the flows of connection tracking";
  for (const bool filtering : {true, false}) {
    std::vector<FlowName> flows;
    Message request = group.request(filtering);
    const Outcome outcome = socket.visit(request, kAttempt, [&](const Answer& answer) {
      const auto header = Attributes::read_header<nfgenmsg>(answer.payload);
      const Attributes attributes = Attributes::after_header(answer.payload, kHeaderSize);
      const auto original = attributes.find(CTA_TUPLE_ORIG);
      if (!header || !original || !group.fit(read_flow(attributes))) return;
      flows.push_back({.family = header->nfgen_family,
                       .original = {original->begin(), original->end()},
                       .id = attributes.find_value<std::uint32_t>(CTA_ID),
                       .zone = attributes.find_value<std::uint16_t>(CTA_ZONE)});
    });
    if (outcome.error_number == 0) return flows;
    // A subsystem that is not there is EINVAL, and so is a filter that the kernel does not take.
    const bool refused = outcome.error_number == EINVAL || outcome.error_number == EOPNOTSUPP;
    if (!refused) throw KernelError(outcome.error_number, kAttempt, outcome.explanation);
  }
  return std::nullopt;
}

}  // namespace

std::optional<std::size_t> delete_flows(std::span<const FlowFilter> filters) {
  std::map<std::pair<inet::Family, std::optional<std::uint8_t>>, std::vector<FlowFilter>> groups;
  for (const FlowFilter& filter : filters) {
    groups[{filter.family, filter.protocol}].push_back(filter);
  }
  Socket socket = Socket::here(Protocol::kNetfilter);
  std::size_t deleted = 0;
  for (auto& [key, members] : groups) {
    const auto flows = find_flows(socket, Group(std::move(members)));
    if (!flows) return std::nullopt;
    for (const FlowName& flow : *flows) {
      if (delete_flow_if_exists(socket, flow)) ++deleted;
    }
  }
  return deleted;
}

}  // namespace cni::netlink
