#include <arpa/inet.h>
#include <linux/netfilter/nf_conntrack_common.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_conntrack.h>
#include <linux/netlink.h>

#include <algorithm>
#include <catch2/catch.hpp>
#include <fstream>
#include <random>
#include <string>
#include <vector>

#include "netlink/conntrack.h"
#include "netlink/message.h"
#include "netlink/netlink_socket.h"
#include "support/echo.h"
#include "support/two_namespaces.h"

using namespace cni::netlink;  // NOLINT(google-build-using-namespace)
using cni::inet::Address;
using cni::inet::Family;
using cni::test::Host;
using cni::test::Inside;

namespace {

struct TestFlow {
  std::uint8_t protocol;
  Address client;
  Address destination;
  std::uint16_t port;
  Address server;  // who answers
  std::uint16_t client_port = 4000;

  std::string text() const {
    return std::to_string(protocol) + " " + client.text() + ":" + std::to_string(client_port) +
           " to " + destination.text() + ":" + std::to_string(port) + " at " + server.text();
  }
};

void put_tuple(Message& message, int attribute, const TestFlow& flow, const Address& source,
               const Address& destination, std::uint16_t source_port, std::uint16_t port) {
  const bool is_ipv4 = source.family() == Family::kIpv4;
  message.nest(attribute | NLA_F_NESTED, [&] {
    message.nest(CTA_TUPLE_IP | NLA_F_NESTED, [&] {
      message.put_address(is_ipv4 ? CTA_IP_V4_SRC : CTA_IP_V6_SRC, source);
      message.put_address(is_ipv4 ? CTA_IP_V4_DST : CTA_IP_V6_DST, destination);
    });
    message.nest(CTA_TUPLE_PROTO | NLA_F_NESTED, [&] {
      message.put_u8(CTA_PROTO_NUM, flow.protocol);
      message.put_u16(CTA_PROTO_SRC_PORT, htons(source_port));
      message.put_u16(CTA_PROTO_DST_PORT, htons(port));
    });
  });
}

void add_flow(Socket& socket, const TestFlow& flow) {
  Message message({.subsystem = NFNL_SUBSYS_CTNETLINK,
                   .message = IPCTNL_MSG_CT_NEW,
                   .family = address_family(flow.client.family()),
                   .question = false},
                  NLM_F_CREATE | NLM_F_EXCL);
  put_tuple(message, CTA_TUPLE_ORIG, flow, flow.client, flow.destination, flow.client_port,
            flow.port);
  put_tuple(message, CTA_TUPLE_REPLY, flow, flow.server, flow.client, flow.port, flow.client_port);
  message.put_u32(CTA_TIMEOUT, htonl(600));
  if (flow.protocol == kProtocolTcp) {
    message.nest(CTA_PROTOINFO | NLA_F_NESTED, [&] {
      message.nest(CTA_PROTOINFO_TCP | NLA_F_NESTED,
                   [&] { message.put_u8(CTA_PROTOINFO_TCP_STATE, 3); });
    });
  }
  if (flow.protocol == kProtocolSctp) {
    message.nest(CTA_PROTOINFO | NLA_F_NESTED, [&] {
      message.nest(CTA_PROTOINFO_SCTP | NLA_F_NESTED, [&] {
        message.put_u8(CTA_PROTOINFO_SCTP_STATE, 4);
        message.put_u32(CTA_PROTOINFO_SCTP_VTAG_ORIGINAL, htonl(1));
        message.put_u32(CTA_PROTOINFO_SCTP_VTAG_REPLY, htonl(2));
      });
    });
  }
  socket.request(message, "add the flow " + flow.text());
}

// Sorted texts of all flows of this thread's namespace, as add_flow() knows them.
std::vector<std::string> flows() {
  std::vector<std::string> found;
  Socket socket = Socket::here(Protocol::kNetfilter);
  for (const Family family : {Family::kIpv4, Family::kIpv6}) {
    Message message({.subsystem = NFNL_SUBSYS_CTNETLINK,
                     .message = IPCTNL_MSG_CT_GET,
                     .family = address_family(family),
                     .question = true},
                    NLM_F_DUMP);
    const bool is_ipv4 = family == Family::kIpv4;
    for (const Answer& answer : socket.request(message, "list flows")) {
      const Attributes flow = Attributes::after_header(answer.payload, sizeof(nfgenmsg));
      const Attributes original = flow.nested(CTA_TUPLE_ORIG);
      const Attributes addresses = original.nested(CTA_TUPLE_IP);
      const Attributes ports = original.nested(CTA_TUPLE_PROTO);
      const auto port = [&](int which) { return ntohs(ports.find_u16(which).value_or(0)); };
      found.push_back(TestFlow{
          .protocol = *ports.find_u8(CTA_PROTO_NUM),
          .client = *addresses.find_address(is_ipv4 ? CTA_IP_V4_SRC : CTA_IP_V6_SRC),
          .destination = *addresses.find_address(is_ipv4 ? CTA_IP_V4_DST : CTA_IP_V6_DST),
          .port = port(CTA_PROTO_DST_PORT),
          .server = *flow.nested(CTA_TUPLE_REPLY)
                         .nested(CTA_TUPLE_IP)
                         .find_address(is_ipv4 ? CTA_IP_V4_SRC : CTA_IP_V6_SRC),
          .client_port = port(CTA_PROTO_SRC_PORT),
      }
                          .text());
    }
  }
  std::ranges::sort(found);
  return found;
}

Address address(const std::string& text) {
  return *Address::parse(text);
}

}  // namespace

TEST_CASE("the flows of a replaced container follow the rules at once, others stay",
          "[netlink][conntrack][nftables][veth]") {
  Host host;
  host.run("sysctl -qw net.ipv4.ip_forward=1");
  cni::test::EchoServers servers;
  std::vector<cni::test::Namespace*> members;
  for (const int number : {1, 2, 3}) {
    const std::string at = std::to_string(number);
    auto& member = host.add_container("member" + at);
    members.push_back(&member);
    host.run("ip link add v" + at + " type veth peer name eth0 netns " +
             member.path().substr(member.path().rfind('/') + 1));
    host.run("ip address add 10.0." + at + ".1/24 dev v" + at);
    host.run("ip link set v" + at + " up");
    member.run("ip address add 10.0." + at + ".2/24 dev eth0");
    member.run("ip link set eth0 up");
    member.run("ip route add default via 10.0." + at + ".1");
  }
  const auto& client = *members[0];
  servers.serve(*members[1], "old", cni::test::Protocol::kUdp, "10.0.2.2", 53);
  servers.serve(*members[2], "new", cni::test::Protocol::kUdp, "10.0.3.2", 53);
  const auto send_to = [&](const std::string& pod) {
    host.run("nft flush ruleset");
    host.run("nft add table ip t");
    host.run("nft add chain ip t c { type nat hook prerouting priority -100 ; }");
    host.run("nft add rule ip t c udp dport 5000-5001 dnat to " + pod + ":53");
  };
  const auto who = [&](std::uint16_t port) {
    return cni::test::ask(client, {.to = "10.0.1.1",
                                   .port = port,
                                   .protocol = cni::test::Protocol::kUdp,
                                   .from_port = 4000})
        .who;
  };
  send_to("10.0.2.2");
  CHECK(who(5000) == "old");
  CHECK(who(5001) == "old");
  send_to("10.0.3.2");
  CHECK(who(5000) == "old");  // what the deletion is for

  const Inside inside(host);
  const std::vector<FlowFilter> gone = {{.family = Family::kIpv4,
                                         .protocol = kProtocolUdp,
                                         .first_port = 5000,
                                         .last_port = 5000,
                                         .reply_source = address("10.0.2.2")}};
  CHECK(delete_flows(gone) == 1);
  CHECK(who(5000) == "new");
  CHECK(who(5001) == "old");
  CHECK(delete_flows(gone) == 0);
}

TEST_CASE("flows are chosen by every part of a filter", "[netlink][conntrack][nftables]") {
  const Host host;
  const Inside inside(host);
  Socket socket = Socket::here(Protocol::kNetfilter);
  std::vector<TestFlow> made;
  for (const std::uint8_t protocol : {kProtocolTcp, kProtocolUdp, kProtocolSctp}) {
    for (const std::uint16_t port : std::vector<std::uint16_t>{79, 80, 85, 90, 91}) {
      for (const std::string last : {"1", "2"}) {
        for (const std::string server : {"3", "4"}) {
          for (const std::string prefix : {"10.0.0.", "fd00::"}) {
            made.push_back({.protocol = protocol,
                            .client = address(prefix + "9"),
                            .destination = address(prefix + last),
                            .port = port,
                            .server = address(prefix + server),
                            .client_port = static_cast<std::uint16_t>(4000 + made.size())});
          }
        }
      }
    }
  }
  for (const TestFlow& flow : made) add_flow(socket, flow);
  REQUIRE(flows().size() == made.size());

  std::vector<FlowFilter> filters;
  SECTION("protocol and port") {
    filters = {
        {.family = Family::kIpv4, .protocol = kProtocolUdp, .first_port = 80, .last_port = 80}};
  }
  SECTION("a port range at an address") {
    filters = {{.family = Family::kIpv6,
                .protocol = kProtocolSctp,
                .destination = address("fd00::1"),
                .first_port = 80,
                .last_port = 90}};
  }
  SECTION("everything of a container") {
    filters = {{.family = Family::kIpv4, .reply_source = address("10.0.0.3")},
               {.family = Family::kIpv6, .reply_source = address("fd00::3")}};
  }
  SECTION("everything of a protocol") {
    filters = {{.family = Family::kIpv6, .protocol = kProtocolTcp}};
  }
  SECTION("all parts at once") {
    filters = {{.family = Family::kIpv4,
                .protocol = kProtocolUdp,
                .destination = address("10.0.0.2"),
                .first_port = 91,
                .last_port = 91,
                .reply_source = address("10.0.0.4")}};
  }
  SECTION("several that have little in common") {
    filters = {
        {.family = Family::kIpv4, .protocol = kProtocolUdp, .first_port = 79, .last_port = 79},
        {.family = Family::kIpv4, .protocol = kProtocolUdp, .first_port = 85, .last_port = 91},
        {.family = Family::kIpv4,
         .protocol = kProtocolUdp,
         .destination = address("10.0.0.2"),
         .first_port = 1,
         .last_port = 65535},
        {.family = Family::kIpv4, .protocol = kProtocolSctp, .first_port = 80, .last_port = 80},
        {.family = Family::kIpv6, .destination = address("fd00::2")},
    };
  }
  SECTION("none") {}
  const auto is_meant = [&](const TestFlow& flow) {
    return std::ranges::any_of(filters, [&](const FlowFilter& filter) {
      return flow.client.family() == filter.family &&
             flow.protocol == filter.protocol.value_or(flow.protocol) &&
             flow.destination == filter.destination.value_or(flow.destination) &&
             flow.server == filter.reply_source.value_or(flow.server) &&
             flow.port >= filter.first_port && flow.port <= filter.last_port;
    });
  };
  std::vector<std::string> rest;
  for (const TestFlow& flow : made) {
    if (!is_meant(flow)) rest.push_back(flow.text());
  }
  std::ranges::sort(rest);
  REQUIRE((rest.size() < made.size() || filters.empty()));
  CHECK(delete_flows(filters) == made.size() - rest.size());
  CHECK(flows() == rest);
}

TEST_CASE("thousands of filters meet thousands of flows", "[netlink][conntrack][nftables]") {
  constexpr std::uint16_t kCount = 3000;
  const Host host;
  const Inside inside(host);
  Socket socket = Socket::here(Protocol::kNetfilter);
  std::vector<FlowFilter> filters;
  for (std::uint16_t at = 0; at < kCount; ++at) {
    const auto port = static_cast<std::uint16_t>(10000 + at);
    add_flow(socket, {.protocol = kProtocolUdp,
                      .client = address("10.0.0.9"),
                      .destination = address("10.0.0.1"),
                      .port = port,
                      .server = address("10.0.0.3")});
    if (at % 2 == 0) {
      filters.push_back({.family = Family::kIpv4,
                         .protocol = kProtocolUdp,
                         .first_port = port,
                         .last_port = port});
    }
  }
  std::ranges::shuffle(filters, std::mt19937(7));
  CHECK(delete_flows(filters) == kCount / 2);
  CHECK(flows().size() == kCount / 2);
}
