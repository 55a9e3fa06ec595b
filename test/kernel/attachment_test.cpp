#include <sys/mount.h>

#include <catch2/catch.hpp>

#include "attachment/check_container_link.h"
#include "attachment/container_link.h"
#include "attachment/ipv6.h"
#include "attachment/veth_pair.h"
#include "netlink/address.h"
#include "netlink/route.h"
#include "support/sandbox.h"
#include "support/two_namespaces.h"

using Catch::Contains;
using namespace cni::attachment;  // NOLINT(google-build-using-namespace)
using cni::Attachment;
using cni::Result;
using cni::inet::Address;
using cni::inet::Mac;
using cni::inet::Network;
using cni::netlink::Link;
using cni::netlink::Socket;
using cni::netns::Netns;
using cni::test::Host;
using cni::test::Inside;
using cni::test::Namespace;
using cni::test::TempDirectory;

namespace {

// A host, which this thread is in, and one container.
struct Pair {
  Host host_namespace;
  Namespace& container_namespace = host_namespace.add_container();
  Inside inside{host_namespace};
  Netns netns = Netns::open(container_namespace.path());
  Socket host = Socket::here();
  Socket container = Socket::in(netns);

  VethPair add(const Owner& owner) {
    cni::Undo undo;
    VethPair pair = add_veth_pair(host, container, netns, {.owner = owner}, undo);
    undo.commit();
    return pair;
  }
};

Owner owner(const std::string& id, const std::string& network = "net") {
  return {.network = network, .attachment = {.container_id = id, .ifname = "eth0"}};
}

Network network(const char* text) {
  return *Network::parse(text);
}

void mark(Socket& host, const Link& link, const Owner& whose) {
  cni::netlink::change_link(host, link, {.alias = render_alias(whose, {})});
}

}  // namespace

TEST_CASE("a veth pair is made down, with all that was asked", "[attachment][veth][bridge]") {
  Pair pair;
  cni::netlink::add_bridge(pair.host, {.name = "b0"});
  const Mac mac = *Mac::parse("02:00:00:00:00:01");
  const int bridge = cni::netlink::get_link(pair.host, "b0").index;
  cni::Undo undo;
  const VethPair veth = add_veth_pair(
      pair.host, pair.container, pair.netns,
      {.owner = owner("c1"), .mtu = 1400, .container_mac = mac, .master = bridge}, undo);
  undo.commit();
  CHECK(veth.host.name == host_link_name(owner("c1").attachment, 0));
  CHECK(veth.host.master == bridge);
  CHECK(veth.host.mtu == 1400);
  CHECK_FALSE(veth.host.up);
  CHECK(veth.container.name == "eth0");
  CHECK(veth.container.mac == mac);
  CHECK(veth.container.mtu == 1400);
  CHECK_FALSE(veth.container.up);
  CHECK(veth.host.peer_index == veth.container.index);
}

TEST_CASE("a veth pair goes back whose host end cannot be set", "[attachment][veth][ipv6]") {
  Pair pair;
  const std::string before = pair.host_namespace.run("ip -o link");
  TempDirectory in_the_way;
  in_the_way.write(host_link_name(owner("c1").attachment, 0) + "/accept_ra", "1");
  REQUIRE(::mount(in_the_way.path().c_str(), "/proc/sys/net/ipv6/conf", nullptr, MS_BIND,
                  nullptr) == 0);
  CHECK_THROWS_WITH(pair.add(owner("c1")), Contains("accept_ra"));
  REQUIRE(::umount("/proc/sys/net/ipv6/conf") == 0);
  CHECK(pair.host_namespace.run("ip -o link") == before);
}

TEST_CASE("a host end is found by name and mark, and deleted", "[attachment][veth]") {
  Pair pair;
  const VethPair veth = pair.add(owner("c1"));
  // Killed before the alias was set.
  CHECK(find_host_end(pair.host, owner("c1")));
  mark(pair.host, veth.host, owner("c1"));
  CHECK(find_host_end(pair.host, owner("c1"))->index == veth.host.index);
  CHECK(find_host_end(pair.host, owner("c1", "renamed")));
  CHECK_FALSE(find_host_end(pair.host, owner("c2")));
  CHECK(delete_host_end_if_exists(pair.host, owner("c1")));
  CHECK_FALSE(delete_host_end_if_exists(pair.host, owner("c1")));
  CHECK_FALSE(pair.container_namespace.has_link("eth0"));
}

TEST_CASE("a link of another's mark under our name is no host end of ours", "[attachment][veth]") {
  Pair pair;
  const std::string name = host_link_name(owner("c1").attachment, 0);
  pair.host_namespace.run("ip link add " + name + " type veth peer name other");
  mark(pair.host, cni::netlink::get_link(pair.host, name), owner("c2"));
  CHECK_FALSE(delete_host_end_if_exists(pair.host, owner("c1")));
  const VethPair veth = pair.add(owner("c1"));
  CHECK(veth.host.name == host_link_name(owner("c1").attachment, 1));
  CHECK(find_host_end(pair.host, owner("c1"))->index == veth.host.index);
  // Later the other one has gone.
  pair.host_namespace.run("ip link delete " + name);
  CHECK(find_host_end(pair.host, owner("c1"))->index == veth.host.index);
  CHECK(delete_host_end_if_exists(pair.host, owner("c1")));
}

TEST_CASE("with every name taken nothing is made", "[attachment][veth][bridge]") {
  Pair pair;
  for (unsigned attempt = 0; attempt < 10; ++attempt) {
    cni::netlink::add_bridge(pair.host, {.name = host_link_name(owner("c1").attachment, attempt)});
  }
  CHECK_THROWS_WITH(pair.add(owner("c1")), Contains("already exists"));
  CHECK_FALSE(pair.container_namespace.has_link("eth0"));
}

TEST_CASE("the container's end is deleted if it is a veth to this host",
          "[attachment][veth][bridge]") {
  Pair pair;
  const auto delete_for = [&](const Owner& whose) {
    return delete_container_end_if_exists(pair.host, pair.netns, whose);
  };
  CHECK_FALSE(delete_for(owner("c1")));
  SECTION("of another suite's making") {
    // So that the indexes of the ends are alike to those of other links.
    Namespace& other = pair.host_namespace.add_container();
    pair.host_namespace.run("ip link add veth1 type veth peer name eth0 netns " + other.path());
    pair.host_namespace.run("ip link add veth2 type veth peer name eth0 netns " +
                            pair.container_namespace.path());
    CHECK(delete_for(owner("c1")));
    CHECK_FALSE(pair.container_namespace.has_link("eth0"));
    CHECK(pair.host_namespace.has_link("veth1"));
  }
  SECTION("marked as this attachment's, or not marked yet") {
    const VethPair veth = pair.add(owner("c1"));
    if (GENERATE(true, false)) mark(pair.host, veth.host, owner("c1"));
    CHECK(delete_for(owner("c1")));
    CHECK_FALSE(pair.container_namespace.has_link("eth0"));
  }
  SECTION("but not if it is another's") {
    mark(pair.host, pair.add(owner("c2")).host, owner("c2"));
    CHECK_FALSE(delete_for(owner("c1")));
    CHECK(pair.container_namespace.has_link("eth0"));
  }
  SECTION("but not if both ends are in one namespace") {
    pair.host_namespace.run("ip link add veth1 type veth peer name veth2");
    pair.container_namespace.run("ip link add eth1 type veth peer name eth0");
    CHECK_FALSE(delete_for(owner("c1")));
    CHECK(pair.container_namespace.has_link("eth0"));
  }
  SECTION("but not if the other end is elsewhere") {
    Namespace& other = pair.host_namespace.add_container();
    // A pair of the host's has the same index at its end here.
    pair.host_namespace.run("ip link add veth1 type veth peer name eth0 netns " + other.path());
    pair.container_namespace.run("ip link add eth0 type veth peer name veth1");
    pair.container_namespace.run("ip link set veth1 netns " + other.path());
    CHECK_FALSE(delete_for(owner("c1")));
    CHECK(pair.container_namespace.has_link("eth0"));
    CHECK(pair.host_namespace.has_link("veth1"));
  }
  SECTION("but not if it is of another kind") {
    cni::netlink::add_bridge(pair.container, {.name = "eth0"});
    CHECK_FALSE(delete_for(owner("c1")));
    CHECK(pair.container_namespace.has_link("eth0"));
  }
}

TEST_CASE("host ends of no valid attachment are collected", "[attachment][veth]") {
  Host host_namespace;
  const Inside inside(host_namespace);
  Socket host = Socket::here();
  const auto add = [&](const Owner& whose) {
    const std::string name = host_link_name(whose.attachment, 0);
    host_namespace.run("ip link add " + name + " type veth peer name p" + name.substr(4));
    mark(host, cni::netlink::get_link(host, name), whose);
    return name;
  };
  const std::string valid = add(owner("c1"));
  const std::string stale = add(owner("c2"));
  const std::string other = add(owner("c3", "other"));
  collect_host_ends(host, "net", {owner("c1").attachment});
  CHECK(host_namespace.has_link(valid));
  CHECK_FALSE(host_namespace.has_link(stale));
  CHECK(host_namespace.has_link(other));
}

TEST_CASE("addresses of other interfaces are not for this link", "[attachment][veth][ipv6]") {
  Pair pair;
  const VethPair veth = pair.add(owner("c1"));
  const Result result = {.ips = {{.address = network("10.1.2.5/24"), .interface = 1},
                                 {.address = network("10.1.2.6/24"), .interface = 2},
                                 {.address = network("fd00::6/64"), .interface = 2}}};
  set_up_container_link(pair.netns, pair.container, veth.container, result, 2, {});
  const auto present =
      cni::netlink::addresses(pair.container, {.link_index = veth.container.index});
  std::vector<std::string> texts;
  for (const auto& address : present) {
    if (address.scope == cni::netlink::kScopeUniverse) texts.push_back(address.network.text());
  }
  CHECK(texts == std::vector<std::string>{"10.1.2.6/24", "fd00::6/64"});
  CHECK(cni::netlink::get_link(pair.container, "eth0").up);
}

TEST_CASE("routes take gateway, table, metric and MTU", "[attachment][veth]") {
  Pair pair;
  const VethPair veth = pair.add(owner("c1"));
  cni::netlink::change_link(pair.host, veth.host, {.up = true});
  Result result = {.ips = {{.address = network("10.1.2.5/24"),
                            .gateway = Address::parse("10.1.2.1"),
                            .interface = 2}}};
  set_up_container_link(pair.netns, pair.container, veth.container, result, 2, {});
  result.routes = {{.destination = network("0.0.0.0/0")},
                   {.destination = network("10.9.0.0/16"), .gateway = Address::parse("10.1.2.9")},
                   {.destination = network("10.8.0.0/16"),
                    .mtu = 1300,
                    .advmss = 1200,
                    .priority = 7,
                    .table = 100}};
  add_container_routes(pair.container, veth.container, result, {});
  CHECK_THAT(pair.container_namespace.run("ip route show"),
             Contains("default via 10.1.2.1 dev eth0") && Contains("10.9.0.0/16 via 10.1.2.9 dev"));
  CHECK_THAT(pair.container_namespace.run("ip route show table 100"),
             Contains("10.8.0.0/16 via 10.1.2.1 dev eth0 metric 7 mtu 1300 advmss 1200"));
  result.routes = {{.destination = network("10.7.0.0/16"), .gateway = Address::parse("192.0.2.1")}};
  CHECK_THROWS_WITH(add_container_routes(pair.container, veth.container, result, {}),
                    Contains("failed to add route '10.7.0.0/16 via 192.0.2.1") &&
                        Contains("dev eth0") && Contains("unreachable"));
}

TEST_CASE("a host end whose peer is down is told by name and state", "[attachment][veth]") {
  Pair pair;
  const VethPair veth = pair.add(owner("c1"));
  cni::netlink::change_link(pair.host, veth.host, {.up = true});
  // Or "lower layer down": kernels differ if the peer is in another namespace.
  CHECK_THROWS_WITH(wait_until_forwarding(pair.host, veth.host, "bridge port"),
                    Contains("bridge port in error state: ") && Contains("down"));
  cni::netlink::change_link(pair.container, veth.container, {.up = true});
  CHECK_NOTHROW(wait_until_forwarding(pair.host, veth.host, "bridge port"));
}

TEST_CASE("differences are gathered", "[attachment]") {
  Differences differences;
  CHECK(differences.empty());
  CHECK_NOTHROW(differences.finish());
  differences.add("one");
  differences.add("two");
  CHECK_THROWS_WITH(differences.finish(), "one; two");
}

TEST_CASE("router advertisements and IPv6 of one link", "[attachment][veth][ipv6]") {
  Host host;
  const Inside inside(host);
  host.run("ip link add v0 type veth peer name v1");
  host.run("sysctl -qw net.ipv6.conf.v0.disable_ipv6=1");
  refuse_router_advertisements("v0");
  enable_ipv6("v0");
  CHECK(host.run("sysctl -n net.ipv6.conf.v0.accept_ra net.ipv6.conf.v0.disable_ipv6") == "0\n0\n");
  CHECK(host.run("sysctl -n net.ipv6.conf.v1.accept_ra") == "1\n");
  CHECK_NOTHROW(refuse_router_advertisements("no-such"));
  CHECK_THROWS_WITH(enable_ipv6("no-such"), Contains("net/ipv6/conf/no-such/disable_ipv6"));
}
