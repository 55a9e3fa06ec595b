#include <catch2/catch.hpp>
#include <cerrno>
#include <chrono>
#include <functional>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "netlink/link.h"
#include "netlink/link_watch.h"
#include "support/two_namespaces.h"

using Catch::Matchers::Contains;
using Catch::Matchers::Equals;
using namespace cni::netlink;  // NOLINT(google-build-using-namespace)
using cni::inet::Mac;
using cni::netns::Netns;
using cni::test::Host;
using cni::test::Namespace;
using nlohmann::json;

namespace {

Socket socket_in(const Namespace& where) {
  return Socket::in(Netns::open(where.path()));
}

// What ip(8) says of a link.
json shown(const Namespace& where, const std::string& name) {
  return json::parse(where.run("ip -j -d link show dev " + name)).at(0);
}

bool has_flag(const json& link, const std::string& flag) {
  for (const json& one : link.at("flags")) {
    if (one == flag) return true;
  }
  return false;
}

int number_of_failure(const std::function<void()>& attempt) {
  try {
    attempt();
  } catch (const KernelError& error) {
    return error.number();
  }
  return 0;
}

const Mac kMac = *Mac::parse("02:00:00:00:00:01");
const Mac kOtherMac = *Mac::parse("02:00:00:00:00:02");

}  // namespace

TEST_CASE("a link is found by name and by index", "[netlink][veth]") {
  Host host;
  Socket socket = socket_in(host);
  host.run("ip link add eth7 mtu 1400 address 02:00:00:00:00:01 type veth peer name peer7");
  host.run("ip link set eth7 alias some-words");
  const Link link = get_link(socket, "eth7");
  CHECK(link.name == "eth7");
  CHECK(link.kind == "veth");
  CHECK(link.mac == kMac);
  CHECK(link.mtu == 1400);
  CHECK(link.alias == "some-words");
  CHECK_FALSE(link.up);
  CHECK_FALSE(link.promiscuous);
  CHECK(link.oper_state == OperState::kDown);
  CHECK_FALSE(link.master);
  CHECK_FALSE(link.link_netnsid);
  CHECK_FALSE(link.port);
  CHECK(link.peer_index == get_link(socket, "peer7").index);
  CHECK(link.index == shown(host, "eth7").at("ifindex"));
  CHECK(get_link(socket, link.index).name == "eth7");
}

TEST_CASE("the loopback link has neither kind nor peer", "[netlink]") {
  Host host;
  Socket socket = socket_in(host);
  const Link lo = get_link(socket, "lo");
  CHECK(lo.index == 1);
  CHECK(lo.kind.empty());
  CHECK(lo.mac->text() == "00:00:00:00:00:00");
  CHECK(lo.up);
  CHECK_FALSE(lo.peer_index);
}

TEST_CASE("an absent link is an answer or an error, as asked for", "[netlink]") {
  Host host;
  Socket socket = socket_in(host);
  CHECK_FALSE(find_link(socket, "nope"));
  CHECK_FALSE(find_link(socket, ""));
  CHECK_FALSE(find_link(socket, "a-name-of-16-byt"));
  CHECK_FALSE(find_link(socket, std::string("lo\0x", 4)));
  CHECK_FALSE(find_link(socket, 4711));
  CHECK_FALSE(find_link(socket, 0));
  CHECK_FALSE(find_link(socket, -1));
  CHECK_THROWS_WITH(get_link(socket, "nope"), "link \"nope\": Link not found");
  CHECK_THROWS_WITH(get_link(socket, 4711), "link 4711: Link not found");
  CHECK(number_of_failure([&] { get_link(socket, "nope"); }) == ENODEV);
}

TEST_CASE("a socket stays in its namespace", "[netlink][veth]") {
  Host host;
  const Namespace& container = host.add_container();
  Socket inside = socket_in(container);
  Socket outside = socket_in(host);
  container.run("ip link add eth7 type veth peer name peer7");
  CHECK(find_link(inside, "eth7"));
  CHECK_FALSE(find_link(outside, "eth7"));
}

TEST_CASE("links are listed by kind and by master", "[netlink][bridge][veth]") {
  Host host;
  Socket socket = socket_in(host);
  add_bridge(socket, {.name = "br0"});
  add_bridge(socket, {.name = "br1"});
  const int bridge = get_link(socket, "br0").index;
  add_veth(socket, {.host = {.name = "v0", .master = bridge}, .container = {.name = "c0"}});
  add_veth(socket, {.host = {.name = "v1"}, .container = {.name = "c1"}});
  const auto names = [&](const LinkFilter& filter) {
    std::vector<std::string> found;
    for (const Link& link : links(socket, filter)) found.push_back(link.name);
    return found;
  };
  using Names = std::vector<std::string>;
  CHECK_THAT(names({}),
             Catch::Matchers::UnorderedEquals(Names{"lo", "br0", "br1", "v0", "c0", "v1", "c1"}));
  CHECK(names({.kind = "bridge"}) == Names{"br0", "br1"});
  CHECK(names({.master = bridge}) == Names{"v0"});
  CHECK(names({.kind = "veth", .master = bridge}) == Names{"v0"});
  CHECK(names({.kind = "bridge", .master = bridge}).empty());
  CHECK(names({.kind = "no-such-kind"}).empty());
}

TEST_CASE("a list of links longer than one datagram is whole", "[netlink][veth]") {
  Host host;
  Socket socket = socket_in(host);
  for (int at = 0; at < 150; ++at) {
    add_veth(socket, {.host = {.name = "v" + std::to_string(at)},
                      .container = {.name = "c" + std::to_string(at)}});
  }
  CHECK(links(socket).size() == 301);
}

TEST_CASE("whether a kind is supported is found out without making a link", "[netlink][veth]") {
  Host host;
  Socket socket = socket_in(host);
  CHECK(is_kind_supported(socket, "veth"));
  CHECK_FALSE(is_kind_supported(socket, "no-such-kind"));
  CHECK(links(socket).size() == 1);
}

TEST_CASE("a bridge is made as it was described", "[netlink][bridge]") {
  Host host;
  Socket socket = socket_in(host);
  add_bridge(socket, {.name = "br0", .mtu = 1400, .mac = kMac});
  const json bridge = shown(host, "br0");
  CHECK(bridge.at("mtu") == 1400);
  CHECK(bridge.at("address") == kMac.text());
  CHECK(bridge.at("linkinfo").at("info_kind") == "bridge");
  CHECK_FALSE(has_flag(bridge, "UP"));
  CHECK(get_link(socket, "br0").kind == "bridge");

  CHECK(number_of_failure([&] { add_bridge(socket, {.name = "br0"}); }) == EEXIST);
  CHECK_THROWS_WITH(add_bridge(socket, {.name = "br0"}), "add bridge \"br0\": file exists");
}

TEST_CASE("a bridge filters VLANs from the start", "[netlink][bridge-vlan]") {
  Host host;
  Socket socket = socket_in(host);
  add_bridge(socket, {.name = "br0", .vlan_filtering = true});
  add_bridge(socket, {.name = "br1"});
  CHECK(get_link(socket, "br0").vlan_filtering == true);
  CHECK(get_link(socket, "br1").vlan_filtering == false);
  CHECK(shown(host, "br0").at("linkinfo").at("info_data").at("vlan_filtering") == 1);
  change_link(socket, get_link(socket, "br1"), {.vlan_filtering = true});
  CHECK(get_link(socket, "br1").vlan_filtering == true);
}

TEST_CASE("a veth is made in both namespaces at once", "[netlink][bridge][veth]") {
  Host host;
  const Namespace& container = host.add_container();
  const Netns netns = Netns::open(container.path());
  Socket outside = socket_in(host);
  Socket inside = Socket::in(netns);
  add_bridge(outside, {.name = "br0"});
  const int bridge = get_link(outside, "br0").index;

  add_veth(outside,
           {.host = {.name = "v0", .mtu = 1300, .mac = kMac, .master = bridge},
            .container = {.name = "eth0", .mtu = 1300, .mac = kOtherMac, .netns = &netns}});

  const json v0 = shown(host, "v0");
  CHECK(v0.at("mtu") == 1300);
  CHECK(v0.at("address") == kMac.text());
  CHECK(v0.at("master") == "br0");
  CHECK_FALSE(has_flag(v0, "UP"));
  const json eth0 = shown(container, "eth0");
  CHECK(eth0.at("mtu") == 1300);
  CHECK(eth0.at("address") == kOtherMac.text());
  CHECK_FALSE(has_flag(eth0, "UP"));
  CHECK_FALSE(host.has_link("eth0"));
  CHECK_FALSE(container.has_link("v0"));

  const Link host_end = get_link(outside, "v0");
  const Link container_end = get_link(inside, *host_end.peer_index);
  CHECK(container_end.name == "eth0");
  CHECK(container_end.peer_index == host_end.index);
  CHECK(host_end.link_netnsid);
  CHECK(host_end.master == bridge);
  CHECK(host_end.port);
}

TEST_CASE("a namespace has the number that a link's other end names", "[netlink][veth]") {
  Host host;
  Namespace& container = host.add_container();
  Namespace& stranger = host.add_container();
  Socket socket = socket_in(host);
  const Netns netns = Netns::open(container.path());
  CHECK_FALSE(find_netnsid(socket, netns));
  host.run("ip link add veth1 type veth peer name eth0 netns " + container.path());
  host.run("ip link add veth2 type veth peer name eth0 netns " + stranger.path());
  REQUIRE(find_netnsid(socket, netns));
  CHECK(get_link(socket, "veth1").link_netnsid == find_netnsid(socket, netns));
  CHECK(get_link(socket, "veth2").link_netnsid != find_netnsid(socket, netns));
}

TEST_CASE("the kernel chooses what a veth is not told", "[netlink][veth]") {
  Host host;
  Socket socket = socket_in(host);
  add_veth(socket, {.host = {.name = "v0"}, .container = {.name = "c0"}});
  const Link one = get_link(socket, "v0");
  const Link other = get_link(socket, "c0");
  CHECK(one.mtu == 1500);
  CHECK(one.mac->is_assignable());
  CHECK(other.mac->is_assignable());
  CHECK(one.mac != other.mac);
}

TEST_CASE("a veth is made whole or not at all", "[netlink][bridge][veth]") {
  Host host;
  const Namespace& container = host.add_container();
  const Netns netns = Netns::open(container.path());
  Socket outside = socket_in(host);
  container.run("ip link add eth0 type veth peer name taken");
  host.run("ip link add v1 type veth peer name taken1");

  const auto attempt = [&](const std::string& host_name, const std::string& container_name,
                           std::optional<int> master = std::nullopt) {
    return number_of_failure([&] {
      add_veth(outside, {.host = {.name = host_name, .master = master},
                         .container = {.name = container_name, .netns = &netns}});
    });
  };
  CHECK(attempt("v0", "eth0") == EEXIST);
  CHECK_FALSE(host.has_link("v0"));
  CHECK(attempt("v1", "eth1") == EEXIST);
  CHECK_FALSE(container.has_link("eth1"));
  CHECK(attempt("v0", "eth1", 4711) != 0);
  CHECK_FALSE(host.has_link("v0"));
  CHECK_FALSE(container.has_link("eth1"));
  CHECK_THROWS_WITH(
      add_veth(outside, {.host = {.name = "v0"}, .container = {.name = "eth0", .netns = &netns}}),
      "add veth \"v0\" with peer \"eth0\": file exists");
}

TEST_CASE("each change of a link takes effect by itself", "[netlink][bridge][veth]") {
  Host host;
  Socket socket = socket_in(host);
  add_bridge(socket, {.name = "br0"});
  add_veth(socket, {.host = {.name = "v0"}, .container = {.name = "c0"}});
  const Link link = get_link(socket, "v0");

  change_link(socket, link, {.up = true});
  CHECK(has_flag(shown(host, "v0"), "UP"));
  CHECK(get_link(socket, "v0").up);
  change_link(socket, link, {.promiscuous = true});
  CHECK(has_flag(shown(host, "v0"), "PROMISC"));
  CHECK(has_flag(shown(host, "v0"), "UP"));
  CHECK(get_link(socket, "v0").promiscuous);
  change_link(socket, link, {.promiscuous = false});
  CHECK_FALSE(has_flag(shown(host, "v0"), "PROMISC"));
  change_link(socket, link, {.up = false});
  CHECK_FALSE(has_flag(shown(host, "v0"), "UP"));

  change_link(socket, link, {.alias = "words of ours"});
  CHECK(shown(host, "v0").at("ifalias") == "words of ours");
  change_link(socket, link, {.alias = ""});
  CHECK_FALSE(shown(host, "v0").contains("ifalias"));
  change_link(socket, link, {.mac = kMac});
  CHECK(shown(host, "v0").at("address") == kMac.text());
  change_link(socket, link, {.mtu = 1300});
  CHECK(shown(host, "v0").at("mtu") == 1300);
  change_link(socket, link, {.master = get_link(socket, "br0").index});
  CHECK(shown(host, "v0").at("master") == "br0");

  const auto port = [&] { return shown(host, "v0").at("linkinfo").at("info_slave_data"); };
  change_link(socket, link, {.hairpin = true});
  CHECK(port().at("hairpin") == true);
  CHECK(port().at("isolated") == false);
  change_link(socket, link, {.isolated = true});
  CHECK(port().at("hairpin") == true);
  CHECK(port().at("isolated") == true);
  CHECK(get_link(socket, "v0").port->hairpin);
  CHECK(get_link(socket, "v0").port->isolated);
  change_link(socket, link, {.hairpin = false, .isolated = false});
  CHECK(port().at("hairpin") == false);
  CHECK_FALSE(get_link(socket, "v0").port->isolated);

  change_link(socket, link, {.master = 0});
  CHECK_FALSE(shown(host, "v0").contains("master"));
  change_link(socket, link, {.name = "v9"});
  CHECK(host.has_link("v9"));
  CHECK_FALSE(host.has_link("v0"));
}

TEST_CASE("changes of a link take effect together", "[netlink][bridge][veth]") {
  Host host;
  Socket socket = socket_in(host);
  add_bridge(socket, {.name = "br0"});
  add_veth(socket, {.host = {.name = "v0"}, .container = {.name = "c0"}});
  change_link(socket, get_link(socket, "v0"),
              {.up = true,
               .name = "v9",
               .alias = "words",
               .master = get_link(socket, "br0").index,
               .mac = kMac,
               .mtu = 1300,
               .hairpin = true,
               .isolated = true});
  const Link link = get_link(socket, "v9");
  CHECK(link.up);
  CHECK(link.alias == "words");
  CHECK(link.master == get_link(socket, "br0").index);
  CHECK(link.mac == kMac);
  CHECK(link.mtu == 1300);
  CHECK(link.port->hairpin);
  CHECK(link.port->isolated);
}

TEST_CASE("a refused change names link, change and the kernel's reason", "[netlink][veth]") {
  Host host;
  Socket socket = socket_in(host);
  add_veth(socket, {.host = {.name = "v0"}, .container = {.name = "c0"}});
  const Link link = get_link(socket, "v0");
  CHECK_THROWS_WITH(change_link(socket, link, {.name = "c0"}),
                    "set link \"v0\" name \"c0\": file exists");
  CHECK_THROWS_WITH(change_link(socket, link, {.mtu = 5}),
                    "set link \"v0\" mtu 5: invalid argument (mtu less than device minimum)");
  CHECK_THROWS_WITH(change_link(socket, link, {.up = true, .mtu = 5}),
                    Contains("set link \"v0\" mtu 5, up: "));
  CHECK_THROWS_WITH(change_link(socket, link, {.hairpin = true}),
                    Contains("set link \"v0\" hairpin on: operation not supported"));
  delete_link_if_exists(socket, link.index);
  CHECK(number_of_failure([&] { change_link(socket, link, {.up = true}); }) == ENODEV);
}

TEST_CASE("the operational state follows both ends of a veth", "[netlink][veth]") {
  Host host;
  Socket socket = socket_in(host);
  add_veth(socket, {.host = {.name = "v0"}, .container = {.name = "c0"}});
  LinkWatch watch = LinkWatch::in(Netns::open(host.path()));
  // The kernel may take a moment for it (linkwatch_event() in net/core/link_watch.c).
  const auto reaches = [&](const char* link, OperState state) {
    return watch.wait_until([&] { return get_link(socket, link).oper_state == state; },
                            cni::Deadline::in(std::chrono::seconds(30)));
  };
  change_link(socket, get_link(socket, "v0"), {.up = true});
  CHECK(reaches("v0", OperState::kLowerLayerDown));
  change_link(socket, get_link(socket, "c0"), {.up = true});
  CHECK(reaches("v0", OperState::kUp));
  CHECK(reaches("c0", OperState::kUp));
  CHECK(name(OperState::kLowerLayerDown) == "lower layer down");
}

TEST_CASE("a deleted link is gone, and was there once", "[netlink][veth]") {
  Host host;
  Socket socket = socket_in(host);
  add_veth(socket, {.host = {.name = "v0"}, .container = {.name = "c0"}});
  add_veth(socket, {.host = {.name = "v1"}, .container = {.name = "c1"}});
  const int index = get_link(socket, "v0").index;
  CHECK(delete_link_if_exists(socket, index));
  CHECK_FALSE(host.has_link("v0"));
  CHECK_FALSE(host.has_link("c0"));
  CHECK_FALSE(delete_link_if_exists(socket, index));
  CHECK(delete_link_if_exists(socket, "v1"));
  CHECK_FALSE(host.has_link("v1"));
  CHECK_FALSE(delete_link_if_exists(socket, "v1"));
  CHECK_FALSE(delete_link_if_exists(socket, 0));
  CHECK_FALSE(delete_link_if_exists(socket, ""));
  CHECK_FALSE(delete_link_if_exists(socket, "a-name-of-16-byt"));
  CHECK(host.has_link("lo"));
  CHECK_THROWS_WITH(delete_link_if_exists(socket, "lo"),
                    "delete link \"lo\": operation not supported");
}
