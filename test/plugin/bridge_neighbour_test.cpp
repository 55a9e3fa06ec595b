// Addresses that work from the first packet on, and IPv6 where it is off.
#include <algorithm>
#include <catch2/catch.hpp>

#include "plugin/bridge_network.h"

using Catch::Contains;
using namespace cni::test;  // NOLINT(google-build-using-namespace)

using Texts = std::vector<std::string>;

namespace {

// An entry such as a container that had the address a moment ago leaves behind.
void make_stale(const Namespace& where, const std::string& device, const std::string& address) {
  for (const char* state : {"permanent", "stale"}) {
    where.run("ip neighbour replace " + address + " lladdr 02:de:ad:00:00:01 dev " + device +
              " nud " + state);
  }
}

// Those which duplicate address detection has not let pass (yet). The kernel gives the link-local
// one to a work queue even where there is nothing to detect.
std::string unsettled(const Namespace& where, const std::string& device) {
  return where.run("ip -6 -o address show dev " + device + " scope global tentative") +
         where.run("ip -6 -o address show dev " + device + " scope global dadfailed");
}

}  // namespace

TEST_CASE("the first packet to a reused address arrives", "[bridge][neighbour][ipv6]") {
  BridgeNetwork net;
  net.give_by_number();
  const Attached other = net.add("c1");
  for (const std::string address : {"10.1.2.3", "fd00:1:2::3"}) {
    make_stale(net.host, "br0", address);
    make_stale(*other.container, "eth0", address);
  }
  const Attached one = net.add("c2");
  const std::string mac = one.result["interfaces"][2]["mac"];
  for (const std::string address : {"10.1.2.3", "fd00:1:2::3"}) {
    INFO(address);
    // Confirmed, so the host does not even have to ask.
    CHECK_THAT(net.host.run("ip neighbour show to " + address + " dev br0"),
               Contains(mac) && Contains("REACHABLE"));
    CHECK_THAT(other.container->run("ip neighbour show to " + address + " dev eth0"),
               Contains(mac));
    CHECK(ping(net.host, address));
    CHECK(ping(*other.container, address));
  }
}

TEST_CASE("after DEL the host has forgotten the container's MAC", "[bridge][neighbour][ipv6]") {
  BridgeNetwork net;
  net.give_by_number();
  const Attached one = net.add("c1");
  CHECK_THAT(net.host.run("ip neighbour show dev br0"),
             Contains("10.1.2.2 ") && Contains("fd00:1:2::2 "));
  net.del(one);
  CHECK_THAT(net.host.run("ip neighbour show dev br0"),
             !Contains("10.1.2.2 ") && !Contains("fd00:1:2::2 "));
}

TEST_CASE("IPv6 addresses need no duplicate address detection", "[bridge][ipv6]") {
  BridgeNetwork net;
  set_sysctl(net.host, "net/ipv6/conf/default/accept_dad", "1");
  net.give_by_number();
  for (const char* id : {"c1", "c2", "c3"}) {
    const Attached one = net.add(id);
    CHECK(unsettled(*one.container, "eth0").empty());
    CHECK_THAT(one.container->run("ip -6 address show dev eth0 scope global"), Contains("nodad"));
    CHECK_THAT(net.host.run("ip -6 address show dev br0 scope global tentative"),
               Catch::Equals(""));
  }
}

TEST_CASE("enabledad waits until the addresses are usable", "[bridge][ipv6]") {
  BridgeNetwork net;
  net.give_by_number();
  net.config["enabledad"] = true;
  const Attached one = net.add("c1");
  CHECK(unsettled(*one.container, "eth0").empty());
  CHECK_THAT(one.container->run("ip -6 address show dev eth0 scope global"), !Contains("nodad"));
  CHECK(sysctl(*one.container, "net/ipv6/conf/eth0/accept_dad") == "1");
  CHECK(sysctl(*one.container, "net/ipv6/conf/eth0/enhanced_dad") == "1");
}

TEST_CASE("enabledad finds a duplicate in another container", "[bridge][ipv6]") {
  BridgeNetwork net;
  net.give_by_number();
  net.add("c1");
  net.config["enabledad"] = true;
  net.give({{"ips", {{{"address", "fd00:1:2::2/64"}, {"gateway", "fd00:1:2::1"}}}}});
  const PluginOutcome outcome = net.run("ADD", net.attachment("c2"));
  INFO(outcome.text());
  CHECK(outcome.code() == 999);
  CHECK(
      outcome.message() ==
      "failed to settle addresses for \"eth0\": link eth0 has address fd00:1:2::2/64 in DADFAILED "
      "state");
}

TEST_CASE("IPv6 stays off where it is not needed", "[bridge][ipv6]") {
  BridgeNetwork net;
  Attached one = net.attachment("c1");
  set_sysctl(*one.container, "net/ipv6/conf/default/disable_ipv6", "1");
  net.add(one);
  CHECK(sysctl(*one.container, "net/ipv6/conf/eth0/disable_ipv6") == "1");
}

TEST_CASE("a kernel without IPv6 serves IPv4 and refuses IPv6", "[bridge][ipv6]") {
  BridgeNetwork net;
  Attached one = net.attachment("c1");
  const std::string no_ipv6 = "mount -t tmpfs none /proc/sys/net/ipv6";
  {
    const PluginOutcome outcome =
        run_plugin_binary(net.in_mount_namespace(net.call("ADD", one), no_ipv6));
    INFO(outcome.text());
    REQUIRE(outcome.status == 0);
    one.result = *outcome.json;
    CHECK(ping(*one.container, "10.1.2.1"));
    CHECK(run_plugin_binary(net.in_mount_namespace(net.call("CHECK", one), no_ipv6)).status == 0);
    CHECK(run_plugin_binary(net.in_mount_namespace(net.call("DEL", one), no_ipv6)).status == 0);
  }
  net.give_by_number();
  net.config["bridge"] = "br1";
  std::string gone = no_ipv6;
  SECTION("on the host") {}
  SECTION("in the container") {
    // The mount above covers the directory of one network namespace only.
    gone = "mount -t tmpfs none /proc/sys";
    net.config["isGateway"] = false;
  }
  const Snapshot before = net.snapshot();
  const PluginOutcome outcome =
      run_plugin_binary(net.in_mount_namespace(net.call("ADD", one), gone));
  INFO(outcome.text());
  CHECK(outcome.code() == 999);
  CHECK_THAT(outcome.message(), Contains("runs without IPv6") && Contains("ipv6.disable"));
  CHECK(difference(before, net.snapshot()) == "");
}

TEST_CASE("sysctls that cannot be written are named", "[bridge][ipv6]") {
  BridgeNetwork net;
  const std::string read_only =
      "mount --bind /proc/sys /proc/sys && mount -o remount,bind,ro /proc/sys";
  Attached one = net.attachment("c1");
  const Snapshot before = net.snapshot();
  const auto add = [&] {
    return run_plugin_binary(net.in_mount_namespace(net.call("ADD", one), read_only));
  };
  {
    // The host would believe router advertisements.
    const PluginOutcome outcome = add();
    INFO(outcome.text());
    CHECK(outcome.status == 1);
    CHECK_THAT(outcome.message(),
               Contains("net/ipv6/conf/br0/accept_ra") && Contains("read-only file system"));
    CHECK(difference(before, net.snapshot()) == "");
  }
  set_sysctl(net.host, "net/ipv6/conf/default/accept_ra", "0");
  SECTION("forwarding") {
    set_sysctl(net.host, "net/ipv4/ip_forward", "0");
    const PluginOutcome outcome = add();
    INFO(outcome.text());
    CHECK(outcome.status == 1);
    CHECK_THAT(outcome.message(), Contains("net/ipv4/ip_forward"));
    CHECK_FALSE(net.host.has_link("br0"));
  }
  SECTION("IPv6 in the container") {
    net.give_by_number();
    set_sysctl(*one.container, "net/ipv6/conf/default/disable_ipv6", "1");
    const PluginOutcome outcome = add();
    INFO(outcome.text());
    CHECK(outcome.status == 1);
    CHECK_THAT(outcome.message(), Contains("cannot use IPv6 addresses on \"eth0\"") &&
                                      Contains("net/ipv6/conf/eth0/disable_ipv6"));
    CHECK_FALSE(net.host.has_link("br0"));
  }
  SECTION("none that matters") {
    const PluginOutcome outcome = add();
    INFO(outcome.text());
    CHECK(outcome.status == 0);
    CHECK(ping(*one.container, "10.1.2.1"));
  }
}
