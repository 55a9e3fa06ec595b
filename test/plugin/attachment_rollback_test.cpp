// An ADD that fails, as far as that is the same for every plugin that joins a container by a veth
// pair, and an ADD that comes twice.
#include <catch2/catch.hpp>

#include "plugin/bridge_network.h"
#include "plugin/failed_add.h"
#include "plugin/veth_network.h"

using namespace cni::test;  // NOLINT(google-build-using-namespace)

namespace {

std::vector<Failure> failures() {
  return {
      {"IPAM refuses", 11, "try later", kUndone,
       ipam_says({.out = R"({"cniVersion":"1.1.0","code":11,"msg":"try later"})", .status = 1})},
      {"SIGTERM while IPAM works", 11, "interrupted by SIGTERM", kUndone,
       ipam_says({.before = "kill -TERM $PPID; sleep 30"})},
      {"IPAM gives no addresses", 999, "IPAM plugin returned missing IP config", kUndone,
       ipam_gives({{"ips", Json::array()}})},
      {"the kernel refuses a route", 999, "failed to add route '10.9.0.0/16 via 10.200.0.1",
       kUndone,
       ipam_gives(
           {{"ips", kAddresses}, {"routes", {{{"dst", "10.9.0.0/16"}, {"gw", "10.200.0.1"}}}}})},
      {"the kernel refuses the MTU", 999, "invalid argument", kNotAsked,
       [](Network& net, const Attached&) { net.config["mtu"] = 10; }},
      {"the name is taken in the container", 999, "already exists", kNotAsked,
       [](Network&, const Attached& attached) {
         attached.container->run("ip link add eth0 type bridge");
         attached.container->run("ip address add 10.8.8.8/24 dev eth0");
       }},
      {"stdout is full", 0, "", kUndone, nothing,
       [](PluginCall& call) { call.stdout_path = "/dev/full"; }},
      {"stdout is closed", 0, "", kUndone, nothing,
       [](PluginCall& call) { call.stdout_closed = true; }},
      {"the namespace is a file", 8, "unknown FS magic on \"/etc/passwd\"", kNotAsked, nothing,
       [](PluginCall& call) { call.netns = "/etc/passwd"; }},
      {"the namespace is the plugin's own", 8, "should not be the same", kNotAsked, nothing,
       [](PluginCall& call) { call.netns = call.host; }},
      {"the IPAM plugin is not there", 7, "failed to find plugin \"no-such\"", kNotAsked,
       [](Network& net, const Attached&) { net.config["ipam"]["type"] = "no-such"; }},
      {"an MTU out of range", 7, "key \"mtu\" is -1", kNotAsked,
       [](Network& net, const Attached&) { net.config["mtu"] = -1; }},
      {"automatic MTU without a default route", 11, "default route", kNotAsked,
       [](Network& net, const Attached&) { net.config["mtu"] = "auto"; }},
  };
}

}  // namespace

TEMPLATE_TEST_CASE("a failed ADD changes nothing", "[bridge][veth][rollback][ipv6]", BridgeNetwork,
                   VethNetwork) {
  const bool first = GENERATE(true, false);
  const auto all = failures();
  const std::size_t number = GENERATE_COPY(range(std::size_t{0}, all.size()));
  TestType net;
  check_undone(all.at(number), net, first);
}

TEMPLATE_TEST_CASE("a second ADD is refused and the first attachment untouched",
                   "[bridge][veth][rollback][ipv6]", BridgeNetwork, VethNetwork) {
  TestType net;
  net.give_dual_stack();
  Attached one = net.attachment("c1");
  // A link-local address of the kernel's would come at some later time.
  set_sysctl(*one.container, "net/ipv6/conf/default/addr_gen_mode", "1");
  net.add(one);
  net.take_ipam_verbs();
  const Snapshot host_before = net.snapshot();
  const Snapshot container_before = Snapshot::take(one.container->path());

  Attached again = one;
  again.result = {};
  if (GENERATE(false, true)) again.id = "c2";
  const PluginOutcome outcome = net.run("ADD", again);
  INFO(outcome.text());
  CHECK(outcome.code() == 999);
  CHECK_THAT(outcome.message(), Catch::Matches("container veth name \\(\"eth0\"\\) peer provided "
                                               "\\(\"veth[0-9a-f]{8}\"\\) already exists"));
  CHECK(difference(host_before, net.snapshot()) == "");
  CHECK(difference(container_before, Snapshot::take(one.container->path())) == "");
  CHECK(net.take_ipam_verbs().empty());
  net.check(one);
  CHECK(ping(*one.container, "10.1.2.1"));
}

// The container was restarted without DEL; a process still holds its old namespace.
TEMPLATE_TEST_CASE("ADD in a new namespace takes over what the dead one left",
                   "[bridge][veth][rollback][ipv6]", BridgeNetwork, VethNetwork) {
  TestType net;
  net.give_dual_stack();
  const Attached old = net.add("c1");
  Attached again = net.attachment("c1");
  net.add(again);
  CHECK(host_end(again.result) == host_end(old.result));
  CHECK_FALSE(old.container->has_link("eth0"));
  CHECK(ping(*again.container, "10.1.2.1"));
  CHECK(ping(net.host, "fd00:1:2::5"));
  net.check(again);
  net.del(again);
  CHECK_FALSE(net.host.has_link(host_end(again.result)));
}
