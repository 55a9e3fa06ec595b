#include <arpa/inet.h>
#include <linux/netlink.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <catch2/catch.hpp>
#include <cerrno>
#include <functional>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "base/unique_fd.h"
#include "netlink/route.h"
#include "support/two_namespaces.h"

using Catch::Contains;
using namespace cni::netlink;  // NOLINT(google-build-using-namespace)
using cni::inet::Address;
using cni::inet::Family;
using cni::inet::Network;
using cni::netns::Netns;
using cni::test::Host;
using cni::test::Inside;
using cni::test::Namespace;
using nlohmann::json;

namespace {

Network network(const std::string& text) {
  return *Network::parse(text);
}
Address address(const std::string& text) {
  return *Address::parse(text);
}

int number_of_failure(const std::function<void()>& attempt) {
  try {
    attempt();
  } catch (const KernelError& error) {
    return error.number();
  }
  return 0;
}

// A host with a link v0 that reaches 10.1.2.0/24 and fd00::/64.
struct Reach {
  Reach() {
    add_veth(socket, {.host = {.name = "v0"}, .container = {.name = "c0"}});
    for (const char* name : {"v0", "c0"}) change_link(socket, get_link(socket, name), {.up = true});
    const Link v0 = get_link(socket, "v0");
    link = v0.index;
    add_address(socket, v0, network("10.1.2.3/24"));
    add_address(socket, v0, network("fd00::3/64"), {.no_dad = true});
  }

  json shown(const std::string& selection) const {
    return json::parse(host.run("ip -j -d route show " + selection));
  }

  std::vector<Route> to(const std::string& destination, const RouteFilter& filter = {}) {
    std::vector<Route> found = routes(socket, filter);
    std::erase_if(found,
                  [&](const Route& route) { return route.destination != network(destination); });
    return found;
  }

  Host host;
  Socket socket = Socket::in(Netns::open(host.path()));
  int link = 0;
};

}  // namespace

TEST_CASE("a route goes by gateway and link", "[netlink][veth]") {
  Reach reach;
  add_route(reach.socket, {.destination = network("10.9.0.0/16"),
                           .gateway = address("10.1.2.1"),
                           .link_index = reach.link});
  const json shown = reach.shown("10.9.0.0/16").at(0);
  CHECK(shown.at("gateway") == "10.1.2.1");
  CHECK(shown.at("dev") == "v0");
  CHECK(shown.at("protocol") == "boot");
  CHECK(shown.at("scope") == "global");
  CHECK(shown.at("type") == "unicast");
  CHECK_FALSE(shown.contains("metric"));
  const std::vector<Route> read = reach.to("10.9.0.0/16");
  REQUIRE(read.size() == 1);
  CHECK(read[0].gateway == address("10.1.2.1"));
  CHECK(read[0].link_index == reach.link);
  CHECK(read[0].priority == 0);
  CHECK(read[0].table == kMainTable);
  CHECK(read[0].scope == kScopeUniverse);
  CHECK(read[0].protocol == kProtocolBoot);
  CHECK(read[0].type == kUnicast);
  CHECK_FALSE(read[0].mtu);
  CHECK_FALSE(read[0].on_link);
}

TEST_CASE("a gateway may be a neighbour by decree", "[netlink][veth]") {
  Reach reach;
  Route route = {.destination = network("10.9.0.0/16"),
                 .gateway = address("192.0.2.7"),
                 .link_index = reach.link};
  CHECK_THROWS(add_route(reach.socket, route));
  route.on_link = true;
  add_route(reach.socket, route);
  CHECK(reach.shown("10.9.0.0/16").at(0).at("flags").at(0) == "onlink");
  CHECK(reach.to("10.9.0.0/16").at(0).on_link);
}

TEST_CASE("a route has everything that it was given", "[netlink][veth][ipv6]") {
  Reach reach;
  add_route(reach.socket, {.destination = network("10.9.0.0/16"),
                           .gateway = address("10.1.2.1"),
                           .link_index = reach.link,
                           .priority = 7,
                           .table = 100000,
                           .protocol = 98,
                           .mtu = 1400,
                           .advmss = 1300,
                           .preferred_source = address("10.1.2.3")});
  const json shown = reach.shown("table 100000").at(0);
  CHECK(shown.at("metric") == 7);
  CHECK(shown.at("protocol") == "98");
  CHECK(shown.at("prefsrc") == "10.1.2.3");
  CHECK(shown.at("metrics").at(0).at("mtu") == 1400);
  CHECK(shown.at("metrics").at(0).at("advmss") == 1300);
  CHECK(reach.to("10.9.0.0/16").empty());
  const std::vector<Route> read = reach.to("10.9.0.0/16", {.table = 100000});
  REQUIRE(read.size() == 1);
  CHECK(read[0].priority == 7);
  CHECK(read[0].table == 100000);
  CHECK(read[0].protocol == 98);
  CHECK(read[0].mtu == 1400U);
  CHECK(read[0].advmss == 1300U);
  CHECK(read[0].preferred_source == address("10.1.2.3"));

  add_route(reach.socket, {.destination = network("fd09::/16"),
                           .gateway = address("fd00::1"),
                           .link_index = reach.link,
                           .priority = 7,
                           .table = 200,
                           .mtu = 1400,
                           .preferred_source = address("fd00::3")});
  const std::vector<Route> six = reach.to("fd09::/16", {.table = 200});
  REQUIRE(six.size() == 1);
  CHECK(six[0].gateway == address("fd00::1"));
  CHECK(six[0].priority == 7);
  CHECK(six[0].mtu == 1400U);
  CHECK(six[0].preferred_source == address("fd00::3"));
}

TEST_CASE("a route of scope link needs no gateway", "[netlink][veth]") {
  Reach reach;
  add_route(reach.socket, {.destination = Network::host(address("169.254.1.1")),
                           .link_index = reach.link,
                           .scope = kScopeLink});
  CHECK(reach.shown("169.254.1.1").at(0).at("scope") == "link");
  // Its gateway can then be reached, though no address of the link is near.
  add_route(reach.socket, {.destination = cni::inet::default_network(Family::kIpv4),
                           .gateway = address("169.254.1.1"),
                           .link_index = reach.link});
  CHECK(reach.shown("default").at(0).at("gateway") == "169.254.1.1");
  add_route(reach.socket, {.destination = Network::host(address("10.5.5.5")),
                           .link_index = reach.link,
                           .scope = kScopeHost});
  CHECK(reach.shown("10.5.5.5").at(0).at("scope") == "host");
}

TEST_CASE("the kernel gets the destination as it is", "[netlink][veth]") {
  Reach reach;
  CHECK(number_of_failure([&] {
          add_route(reach.socket,
                    {.destination = network("10.9.0.1/16"), .link_index = reach.link});
        }) == EINVAL);
}

TEST_CASE("a refused route is told in full", "[netlink][veth]") {
  Reach reach;
  const std::string link = std::to_string(reach.link);
  CHECK_THROWS_WITH(add_route(reach.socket, {.destination = network("10.9.0.0/16"),
                                             .gateway = address("10.77.0.1"),
                                             .link_index = reach.link,
                                             .priority = 5,
                                             .table = 300}),
                    Contains("add route 10.9.0.0/16 via 10.77.0.1 on link " + link +
                             " metric 5 in table 300: network is unreachable"));
}

TEST_CASE("a second route to a destination", "[netlink][veth][ipv6]") {
  Reach reach;
  const Route first{.destination = network("10.9.0.0/16"),
                    .gateway = address("10.1.2.1"),
                    .link_index = reach.link};
  Route second = first;
  second.gateway = address("10.1.2.2");
  add_route(reach.socket, first);
  CHECK(number_of_failure([&] { add_route(reach.socket, first); }) == EEXIST);
  CHECK(number_of_failure([&] { add_exclusive_route(reach.socket, second); }) == EEXIST);
  add_route(reach.socket, second);
  const std::vector<Route> both = reach.to("10.9.0.0/16");
  REQUIRE(both.size() == 2);
  CHECK(both[0].gateway == address("10.1.2.2"));  // the later one is in front
  CHECK(both[1].gateway == address("10.1.2.1"));

  const Route third{
      .destination = network("fd09::/16"), .gateway = address("fd00::1"), .link_index = reach.link};
  Route fourth = third;
  fourth.gateway = address("fd00::2");
  add_route(reach.socket, third);
  CHECK(number_of_failure([&] { add_route(reach.socket, third); }) == EEXIST);
  add_route(reach.socket, fourth);
  const std::vector<Route> six = reach.to("fd09::/16");
  REQUIRE(six.size() == 1);
  REQUIRE(six[0].next_hops.size() == 2);
  std::vector<std::string> gateways;
  for (const NextHop& hop : six[0].next_hops) {
    CHECK(hop.link_index == reach.link);
    gateways.push_back(hop.gateway->text());
  }
  CHECK_THAT(gateways,
             Catch::Matchers::UnorderedEquals(std::vector<std::string>{"fd00::1", "fd00::2"}));
}

TEST_CASE("routes are listed by family, table and link", "[netlink][veth][ipv6]") {
  Reach reach;
  reach.host.run("ip link set c0 down");
  reach.host.run("ip link add w0 type veth peer name w1");
  reach.host.run("ip link set w0 up");
  reach.host.run("ip link set w1 up");
  reach.host.run("ip link set c0 up");
  reach.host.run("ip route add 10.8.0.0/16 dev w0");
  reach.host.run("ip route add 10.7.0.0/16 nexthop via 10.1.2.1 nexthop dev w0");
  CHECK(reach.to("10.8.0.0/16", {.link_index = reach.link}).empty());
  CHECK(reach.to("10.7.0.0/16", {.link_index = reach.link}).size() == 1);
  CHECK(reach.to("10.8.0.0/16", {.family = Family::kIpv6}).empty());
  CHECK(reach.to("10.8.0.0/16", {.family = Family::kIpv4}).size() == 1);
  CHECK(reach.to("127.0.0.1/32").empty());
  CHECK(reach.to("127.0.0.1/32", {.table = kLocalTable}).size() == 1);
  CHECK(reach.to("127.0.0.1/32", {.table = std::nullopt}).size() == 1);
  CHECK(reach.to("fd00::3/128", {.table = kLocalTable}).size() == 1);
  CHECK(routes(reach.socket, {.table = 4711}).empty());
  CHECK(routes(reach.socket, {.table = 4711000}).empty());
}

TEST_CASE("a gateway of the other family is read", "[netlink][veth][ipv6]") {
  Reach reach;
  reach.host.run("ip route add 10.8.0.0/16 via inet6 fd00::9 dev v0");
  const std::vector<Route> read = reach.to("10.8.0.0/16");
  REQUIRE(read.size() == 1);
  CHECK(read[0].gateway == address("fd00::9"));
}

TEST_CASE("what a host learned about a path is no route", "[netlink][veth][ipv6]") {
  // The container forwards to a link with a smaller MTU and says so (RFC 8201).
  Host host;
  const Namespace& container = host.add_container();
  const Netns netns = Netns::open(container.path());
  Socket socket = Socket::in(Netns::open(host.path()));
  add_veth(socket, {.host = {.name = "v0"}, .container = {.name = "c0", .netns = &netns}});
  for (const char* command :
       {"ip link add w0 mtu 1280 type veth peer name w1", "ip link set w0 up", "ip link set w1 up",
        "ip link set c0 up", "ip address add fd00::1/64 dev c0 nodad",
        "ip address add fd09::1/64 dev w0 nodad", "sysctl -q net.ipv6.conf.all.forwarding=1"}) {
    container.run(command);
  }
  for (const char* command : {"ip link set v0 up", "ip address add fd00::3/64 dev v0 nodad",
                              "ip route add fd09::/64 via fd00::1"}) {
    host.run(command);
  }

  const Inside inside(host);
  const cni::UniqueFd sender(::socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  constexpr int kOn = 1;
  REQUIRE(::setsockopt(sender.get(), SOL_IPV6, IPV6_RECVERR, &kOn, sizeof kOn) == 0);
  sockaddr_in6 target{};
  target.sin6_family = AF_INET6;
  target.sin6_port = htons(9);
  REQUIRE(::inet_pton(AF_INET6, "fd09::2", &target.sin6_addr) == 1);
  const std::vector<char> packet(1400);
  REQUIRE(::sendto(sender.get(), packet.data(), packet.size(), 0,
                   reinterpret_cast<sockaddr*>(&target), sizeof target) == 1400);
  pollfd told{.fd = sender.get(), .events = POLLERR, .revents = 0};
  REQUIRE(::poll(&told, 1, 30000) == 1);
  REQUIRE(host.run("ip -6 route show cache").find("fd09::2") != std::string::npos);

  // Kernels before 4.20 list it among the routes unless asked strictly.
  const auto count = [](Socket& asked) {
    return std::ranges::count_if(routes(asked, {.family = Family::kIpv6}), [](const Route& route) {
      return route.destination == network("fd09::2/128");
    });
  };
  CHECK(count(socket) == 0);
  Socket old = Socket::here();
  constexpr int kOff = 0;
  REQUIRE(::setsockopt(old.fd(), SOL_NETLINK, NETLINK_GET_STRICT_CHK, &kOff, sizeof kOff) == 0);
  CHECK(count(old) == 0);
}

TEST_CASE("a deleted route is the one that was described", "[netlink][veth][ipv6]") {
  Reach reach;
  const Route plain{.destination = network("10.9.0.0/16"), .link_index = reach.link};
  Route other = plain;
  other.priority = 9;
  CHECK_FALSE(delete_route_if_exists(reach.socket, plain));
  add_route(reach.socket, plain);
  add_route(reach.socket, other);
  CHECK(delete_route_if_exists(reach.socket, other));
  REQUIRE(reach.to("10.9.0.0/16").size() == 1);
  CHECK(reach.to("10.9.0.0/16")[0].priority == 0);
  CHECK_FALSE(delete_route_if_exists(reach.socket, other));
  CHECK(delete_route_if_exists(reach.socket, {.destination = network("10.9.0.0/16")}));
  CHECK_FALSE(delete_route_if_exists(reach.socket, plain));

  // The route that came with the address has scope link and protocol kernel.
  CHECK(delete_route_if_exists(reach.socket,
                               {.destination = network("10.1.2.0/24"), .link_index = reach.link}));
  CHECK(reach.to("10.1.2.0/24").empty());
  CHECK(delete_route_if_exists(reach.socket,
                               {.destination = network("fd00::/64"), .link_index = reach.link}));
  CHECK_FALSE(delete_route_if_exists(
      reach.socket, {.destination = network("fd00::/64"), .link_index = reach.link}));
  CHECK_FALSE(
      delete_route_if_exists(reach.socket, {.destination = network("10.9.0.0/16"), .table = 4711}));
  CHECK_FALSE(delete_route_if_exists(reach.socket,
                                     {.destination = network("10.9.0.0/16"), .link_index = 4711}));
  CHECK_FALSE(delete_route_if_exists(reach.socket,
                                     {.destination = network("fd09::/64"), .link_index = 4711}));
}

TEST_CASE("the link of the default route", "[netlink][veth][ipv6]") {
  Reach reach;
  CHECK_FALSE(default_route_link(reach.socket));
  reach.host.run("ip link add w0 type veth peer name w1");
  reach.host.run("ip link set w0 up");
  reach.host.run("ip link set w1 up");
  const int other = get_link(reach.socket, "w0").index;
  reach.host.run("ip route add unreachable default metric 4000");
  reach.host.run("ip -6 route add unreachable default metric 4000");  // has the device lo
  reach.host.run("ip route add default dev w0 table 100");
  CHECK_FALSE(default_route_link(reach.socket));
  reach.host.run("ip -6 route add default dev w0");
  CHECK(default_route_link(reach.socket) == other);
  reach.host.run("ip route add default via 10.1.2.1");
  CHECK(default_route_link(reach.socket) == reach.link);
  reach.host.run("ip route delete default via 10.1.2.1");
  reach.host.run("ip route add default nexthop dev w0 nexthop via 10.1.2.1");
  CHECK(default_route_link(reach.socket) == other);
}

TEST_CASE("addresses that a namespace takes as its own", "[route][ipv6]") {
  Reach reach;
  for (const char* own : {"10.1.2.3", "127.0.0.1", "::1"}) {
    CHECK(is_local(reach.socket, address(own)));
  }
  // Beside them, beyond any route, and where one says that there is no way.
  for (const char* other : {"10.1.2.4", "192.0.2.1", "fd00::4", "2001:db8::1"}) {
    CHECK_FALSE(is_local(reach.socket, address(other)));
  }
  reach.host.run("ip route add unreachable 192.0.2.0/24");
  CHECK_FALSE(is_local(reach.socket, address("192.0.2.1")));
}

TEST_CASE("the way to an address follows rules and tables", "[netlink][veth]") {
  Reach reach;
  reach.host.run("ip link set lo up");
  const auto way = find_way(reach.socket, address("10.1.2.9"));
  REQUIRE(way);
  CHECK(way->type == kUnicast);
  CHECK(way->link_index == reach.link);
  CHECK(find_way(reach.socket, address("10.1.2.3"))->type == kLocal);
  CHECK(find_way(reach.socket, address("fd00::9"))->link_index == reach.link);
  CHECK(!find_way(reach.socket, address("192.0.2.1")));
  reach.host.run("ip route add 192.0.2.0/24 dev v0 table 100");
  CHECK(!find_way(reach.socket, address("192.0.2.1")));
  reach.host.run("ip rule add to 192.0.2.0/24 table 100");
  CHECK(find_way(reach.socket, address("192.0.2.1"))->link_index == reach.link);
}
