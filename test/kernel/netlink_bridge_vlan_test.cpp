#include <catch2/catch.hpp>
#include <cerrno>
#include <string>
#include <vector>

#include "netlink/bridge_vlan.h"
#include "support/two_namespaces.h"

using namespace cni::netlink;  // NOLINT(google-build-using-namespace)
using cni::netns::Netns;
using cni::test::Host;
using Vlans = std::vector<PortVlan>;

namespace {

// A bridge br0 with the ports v0 and v1.
struct Bridge {
  explicit Bridge(bool vlan_filtering) {
    add_bridge(socket, {.name = "br0", .vlan_filtering = vlan_filtering});
    const int master = get_link(socket, "br0").index;
    for (const std::string at : {"0", "1"}) {
      add_veth(socket,
               {.host = {.name = "v" + at, .master = master}, .container = {.name = "c" + at}});
    }
    port = get_link(socket, "v0");
    other = get_link(socket, "v1");
  }

  Host host;
  Socket socket = Socket::in(Netns::open(host.path()));
  Link port;
  Link other;
};

}  // namespace

TEST_CASE("the VLANs of a port", "[netlink][bridge-vlan][veth]") {
  Bridge bridge(true);
  const Vlans initial{{.id = 1, .pvid = true, .untagged = true}};
  CHECK(port_vlans(bridge.socket, bridge.port) == initial);

  add_port_vlans(bridge.socket, bridge.port,
                 {{.id = 100, .pvid = true, .untagged = true}, {.id = 7}, {.id = 8}, {.id = 9}});
  CHECK(port_vlans(bridge.socket, bridge.port) ==
        Vlans{{.id = 1, .untagged = true},
              {.id = 7},
              {.id = 8},
              {.id = 9},
              {.id = 100, .pvid = true, .untagged = true}});
  CHECK(port_vlans(bridge.socket, bridge.other) == initial);

  delete_port_vlans(bridge.socket, bridge.port, {{.id = 1}, {.id = 8}, {.id = 4000}});
  CHECK(port_vlans(bridge.socket, bridge.port) ==
        Vlans{{.id = 7}, {.id = 9}, {.id = 100, .pvid = true, .untagged = true}});
  delete_port_vlans(bridge.socket, bridge.port, port_vlans(bridge.socket, bridge.port));
  CHECK(port_vlans(bridge.socket, bridge.port).empty());
  CHECK(bridge.host.run("bridge vlan show dev v0").find("100") == std::string::npos);
}

TEST_CASE("every VLAN of a port at once", "[netlink][bridge-vlan][veth]") {
  Bridge bridge(true);
  Vlans all;
  for (std::uint16_t id = 1; id <= 4094; ++id) all.push_back({.id = id});
  add_port_vlans(bridge.socket, bridge.port, all);
  CHECK(port_vlans(bridge.socket, bridge.port).size() == 4094);
  delete_port_vlans(bridge.socket, bridge.port, all);
  CHECK(port_vlans(bridge.socket, bridge.port).empty());
}

TEST_CASE("a refused VLAN is told with its port", "[netlink][bridge][veth]") {
  Bridge bridge(false);
  CHECK_NOTHROW(add_port_vlans(bridge.socket, bridge.port, {}));
  delete_link_if_exists(bridge.socket, bridge.port.index);
  CHECK_THROWS_WITH(add_port_vlans(bridge.socket, bridge.port, {{.id = 5}, {.id = 6}}),
                    Catch::Contains("add VLANs 5,6 to link \"v0\": no such device"));
  CHECK(port_vlans(bridge.socket, bridge.port).empty());
}
