// Containers that resist their removal, and the reference suite on the same node: the same for
// every plugin that joins a container by a veth pair.
#include <catch2/catch.hpp>

#include "plugin/bridge_network.h"
#include "plugin/veth_network.h"

using namespace cni::test;  // NOLINT(google-build-using-namespace)

namespace {

// What the reference suite calls the plugin.
template <typename Network>
constexpr const char* reference_name = "ptp";
template <>
constexpr const char* reference_name<BridgeNetwork> = "bridge";

}  // namespace

// What a container with all rights in its own namespace can do about its interface.
TEMPLATE_TEST_CASE("DEL succeeds whatever the container has done", "[bridge][veth][hostile][ipv6]",
                   BridgeNetwork, VethNetwork) {
  TestType net;
  net.give_dual_stack();
  net.del(net.add("settle"));
  const Snapshot before = net.snapshot();
  const Attached one = net.add("c1");
  const Namespace& inside = *one.container;
  Namespace& other = net.host.add_container();
  // Kernels before 6.2 rename a link only while it is down.
  SECTION("renamed") {
    inside.run("ip link set eth0 down");
    inside.run("ip link set eth0 name evil");
  }
  SECTION("deleted") {
    inside.run("ip link delete eth0");
  }
  SECTION("renamed and replaced by a bridge") {
    inside.run("ip link set eth0 down");
    inside.run("ip link set eth0 name evil");
    inside.run("ip link add eth0 type bridge");
  }
  SECTION("renamed and replaced by another veth") {
    inside.run("ip link set eth0 down");
    inside.run("ip link set eth0 name evil");
    inside.run("ip link add eth0 type veth peer name eth1");
  }
  SECTION("deleted and replaced by a bridge") {
    inside.run("ip link delete eth0");
    inside.run("ip link add eth0 type bridge");
  }
  SECTION("its name made an alternative name of another link") {
    inside.run("ip link set eth0 down");
    inside.run("ip link set eth0 name evil");
    inside.run("ip link add b0 type bridge");
    inside.run("ip link property add dev b0 altname eth0");
  }
  SECTION("moved to another namespace") {
    inside.run("ip link set eth0 netns " + other.path());
  }
  SECTION("flushed and given other addresses") {
    inside.run("ip address flush dev eth0");
    inside.run("ip address add 10.1.2.1/24 dev eth0");
  }
  SECTION("put under a bridge of its own, with another alias") {
    inside.run("ip link add b0 type bridge");
    inside.run("ip link set eth0 master b0");
    inside.run("ip link set eth0 alias rubbish");
  }
  for (int round = 0; round < 2; ++round) net.del(one);
  CHECK(difference(before, net.snapshot()) == "");
  CHECK_FALSE(inside.has_link("evil"));
}

TEMPLATE_TEST_CASE("the reference suite takes over from us and we from it",
                   "[bridge][veth][reference][ipv6]", BridgeNetwork, VethNetwork) {
  TestType net;
  net.config["cniVersion"] = "1.0.0";
  net.config["type"] = net.plugin = reference_name<TestType>;
  net.give_dual_stack("1.0.0");
  net.del(net.add("settle"));
  const Snapshot before = net.snapshot();
  Attached one = net.attachment("c1");
  const Snapshot container_before = Snapshot::take(one.container->path());
  SECTION("their ADD, our CHECK and DEL") {
    one.result = *net.run_reference(net.plugin, "ADD", one).json;
    net.check(one);
    net.del(one);
  }
  SECTION("our ADD, their CHECK and DEL") {
    net.add(one);
    net.run_reference(net.plugin, "CHECK", one);
    net.run_reference(net.plugin, "DEL", one);
  }
  CHECK(difference(before, net.snapshot()) == "");
  CHECK(difference(container_before, Snapshot::take(one.container->path())) == "");
}
