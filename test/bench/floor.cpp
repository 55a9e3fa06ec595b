// The floor of what an attachment costs: makes what the kernel has of one, or takes it away, with
// as few messages as there can be, and nothing else. No configuration, no files, no questions.
//
//   floor ADD|DEL|VANISH CHAIN NETNS NUMBER      verbs.py says what is there before
//
// DEL ends when the kernel has answered, VANISH when it has announced that the link is gone: the
// rest of the wait is a child's, which keeps neither stdout nor stderr.
#include <fmt/format.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <linux/veth.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <exception>
#include <optional>
#include <string>
#include <vector>

#include "base/deadline.h"
#include "inet/network.h"
#include "netlink/address.h"
#include "netlink/link.h"
#include "netlink/link_watch.h"
#include "netlink/message.h"
#include "netlink/netlink_socket.h"
#include "netlink/route.h"
#include "nftables/nftables_socket.h"

namespace {

using namespace cni;  // NOLINT(google-build-using-namespace)
using inet::Address;
using inet::Family;
using inet::Network;
using nftables::Bytes;
using nftables::Set;
using nftables::Verdict;

constexpr int kContainersOfAByte = 250;
constexpr int kFirstPort = 1024;
constexpr std::uint16_t kContainerPort = 80;
// In the namespace of each container, behind "lo".
constexpr int kContainerLink = 2;
constexpr std::chrono::seconds kPatience{10};

struct Attachment {
  std::string chain;
  std::string netns;
  int number;

  bool on_bridge() const { return chain != "veth dual-stack"; }
  bool has_rules() const { return chain != "bridge"; }
  std::vector<Network> addresses() const {
    const int low = number % kContainersOfAByte + 2;
    const int high = number / kContainersOfAByte;
    std::vector<Network> all = {
        *Network::parse(fmt::format("10.1.{}.{}/{}", high, low, on_bridge() ? 16 : 32))};
    if (!on_bridge()) all.push_back(*Network::parse(fmt::format("fd00:1::{:x}/128", number + 2)));
    return all;
  }
  std::string host_link() const { return fmt::format("floor{}", number); }
};

netlink::Link link(int index, const std::string& name) {
  netlink::Link link;
  link.index = index;
  link.name = name;
  return link;
}

Address gateway_of(Family family) {
  return *Address::parse(family == Family::kIpv4 ? "10.1.255.254" : "fd00:1::ffff");
}

// Both ends in their places. The kernel brings none up that has no other end yet, so that takes
// messages of their own.
void add_veth(netlink::Socket& host, const Attachment& attachment, const netns::Netns& netns) {
  netlink::Message message(RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL);
  message.put_header(ifinfomsg{});
  message.put_text(IFLA_IFNAME, attachment.host_link());
  if (attachment.on_bridge()) {
    message.put_u32(IFLA_MASTER, ::if_nametoindex("cni0"));
  }
  message.nest(IFLA_LINKINFO, [&] {
    message.put_text(IFLA_INFO_KIND, "veth");
    message.nest(IFLA_INFO_DATA, [&] {
      message.nest(VETH_INFO_PEER, [&] {
        message.put_header(ifinfomsg{});
        message.put_text(IFLA_IFNAME, "eth0");
        message.put_i32(IFLA_NET_NS_FD, netns.fd());
      });
    });
  });
  host.request(message, "add the veth");
}

int index_of(const Attachment& attachment) {
  return static_cast<int>(::if_nametoindex(attachment.host_link().c_str()));
}

void set_up_container(netlink::Socket& container, const Attachment& attachment) {
  const netlink::Link end = link(kContainerLink, "eth0");
  for (const Network& address : attachment.addresses()) {
    netlink::add_address(container, end, address, {.no_dad = true});
    const Family family = address.family();
    netlink::Route route{.destination = inet::default_network(family),
                         .link_index = kContainerLink};
    if (attachment.on_bridge()) {
      route.gateway = Address::parse("10.1.0.1");
    } else {
      route.gateway = gateway_of(family);
      route.on_link = true;
    }
    netlink::add_route(container, route);
  }
}

void route_to_container(netlink::Socket& host, const Attachment& attachment) {
  const netlink::Link end = link(index_of(attachment), attachment.host_link());
  for (const Network& address : attachment.addresses()) {
    const Network gateway{gateway_of(address.family()), address.prefix_length};
    netlink::add_address(host, end, gateway, {.no_dad = true});
    netlink::add_route(host, {.destination = address, .link_index = end.index});
  }
}

// The elements of masquerading and of the host port. Until the socket is closed nobody waits for
// the kernel to free what was removed.
nftables::Socket change_rules(const Attachment& attachment, bool add) {
  nftables::Socket socket = nftables::Socket::here();
  nftables::Batch batch;
  for (const Network& network : attachment.addresses()) {
    const nftables::TableId table{.family = nftables::table_family(network.family()),
                                  .name = "floor"};
    const Set sources{.table = table, .name = "sources", .key_length = 4};
    const Set ports{.table = table, .name = "ports", .key_length = 8};
    const Bytes address = nftables::bytes_of(network.address);
    const std::vector<nftables::Element> source = {
        {.key = address,
         .verdict = Verdict{.kind = Verdict::Kind::kJump, .chain = "masquerading"}}};
    const auto port = static_cast<std::uint16_t>(kFirstPort + attachment.number);
    const std::vector<nftables::Element> mapping = {
        {.key = nftables::concatenation(
             {Bytes{std::byte{IPPROTO_TCP}}, nftables::network_order(port)}),
         .value = nftables::concatenation({address, nftables::network_order(kContainerPort)})}};
    if (add) {
      batch.add_elements(sources, source);
      if (attachment.on_bridge()) batch.add_elements(ports, mapping);
    } else {
      batch.delete_elements(sources, source);
      if (attachment.on_bridge()) batch.delete_elements(ports, mapping);
    }
  }
  socket.commit(batch, "change the rules");
  return socket;
}

void add(const Attachment& attachment) {
  const netns::Netns netns = netns::Netns::open(attachment.netns);
  netlink::Socket host = netlink::Socket::here();
  add_veth(host, attachment, netns);
  netlink::change_link(host, link(index_of(attachment), attachment.host_link()), {.up = true});
  netlink::Socket container = netlink::Socket::in(netns);
  netlink::change_link(container, link(kContainerLink, "eth0"), {.up = true});
  set_up_container(container, attachment);
  if (!attachment.on_bridge()) route_to_container(host, attachment);
  if (attachment.has_rules()) change_rules(attachment, true);
}

void del(const Attachment& attachment) {
  if (attachment.has_rules()) change_rules(attachment, false);
  netlink::Socket host = netlink::Socket::here();
  netlink::delete_link_if_exists(host, attachment.host_link());
}

void vanish(const Attachment& attachment) {
  std::optional<nftables::Socket> rules;
  if (attachment.has_rules()) rules = change_rules(attachment, false);
  netlink::LinkWatch watch = netlink::LinkWatch::here();
  netlink::Socket host = netlink::Socket::here();
  if (::fork() == 0) {
    ::close_range(STDIN_FILENO, STDERR_FILENO, 0);
    netlink::delete_link_if_exists(host, attachment.host_link());
    ::_exit(EXIT_SUCCESS);
  }
  watch.wait_until([&] { return index_of(attachment) == 0; }, Deadline::in(kPatience));
}

}  // namespace

int main(int count, char** arguments) {
  if (count != 5) return EXIT_FAILURE;
  const Attachment attachment{
      .chain = arguments[2], .netns = arguments[3], .number = std::atoi(arguments[4])};
  try {
    const std::string verb = arguments[1];
    if (verb == "ADD") add(attachment);
    if (verb == "DEL") del(attachment);
    if (verb == "VANISH") vanish(attachment);
    return EXIT_SUCCESS;
  } catch (const std::exception& error) {
    fmt::print("{}\n", error.what());
    return EXIT_FAILURE;
  }
}
