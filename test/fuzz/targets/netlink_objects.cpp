// Links, addresses, routes and so on out of what a fake kernel answers. The first byte is the
// question.

#include "fuzz/fake_kernel.h"
#include "fuzz/input.h"
#include "fuzz/oracle.h"
#include "fuzz/targets.h"
#include "netlink/address.h"
#include "netlink/bridge_vlan.h"
#include "netlink/conntrack.h"
#include "netlink/link.h"
#include "netlink/listener.h"
#include "netlink/route.h"

namespace cni::fuzz {
namespace {

using netlink::Socket;

void read_routes(Socket& socket) {
  for (const netlink::Route& route : netlink::routes(socket, {.table = std::nullopt})) {
    require(!text(route).empty(), "a route has a text");
    require(route.destination.prefix_length <= route.destination.address.width(),
            "a destination has a length of its family");
  }
}

void read_addresses(Socket& socket) {
  for (const netlink::InterfaceAddress& address : netlink::addresses(socket)) {
    require(address.network.prefix_length >= 0 &&
                address.network.prefix_length <= address.network.address.width(),
            "an address has a length of its family");
    require(address.network.contains(address.network.address), "an address is in its network");
  }
}

void read_vlans(Socket& socket) {
  netlink::Link port;
  port.index = 2;
  for (const netlink::PortVlan& vlan : netlink::port_vlans(socket, port)) {
    require(vlan.id >= 1 && vlan.id <= 4094, "a VLAN has a number");
  }
}

void ask(Socket& socket, std::uint8_t question) {
  const inet::Address address = *inet::Address::parse("192.0.2.1");
  switch (question % 10) {
    case 0:
      for (const netlink::Link& link : netlink::links(socket)) name(link.oper_state);
      break;
    case 1:
      netlink::find_link(socket, "eth0");
      break;
    case 2:
      netlink::find_link(socket, 2);
      break;
    case 3:
      read_addresses(socket);
      break;
    case 4:
      read_routes(socket);
      break;
    case 5:
      read_vlans(socket);
      break;
    case 6: {
      Socket sockets = Socket::here(netlink::Protocol::kSockets);
      netlink::listeners(sockets, inet::Family::kIpv4, netlink::kProtocolTcp, 1, 65535);
      netlink::listeners(sockets, inet::Family::kIpv6, netlink::kProtocolUdp, 1, 65535);
      break;
    }
    case 7:
      netlink::find_way(socket, address);
      netlink::is_local(socket, address);
      break;
    case 8:
      netlink::default_route_link(socket);
      break;
    default: {
      const netlink::FlowFilter filter{
          .family = inet::Family::kIpv4, .protocol = netlink::kProtocolUdp, .last_port = 5000};
      netlink::delete_flows(std::span(&filter, 1));
    }
  }
}

}  // namespace

void netlink_objects(std::string_view input) {
  Pieces pieces(input);
  const std::uint8_t question = pieces.byte();
  const FakeKernel kernel(pieces.rest());
  Socket socket = Socket::here();
  accepts([&] { ask(socket, question); }, {Code::kInternal, Code::kTryAgainLater});
}

}  // namespace cni::fuzz
