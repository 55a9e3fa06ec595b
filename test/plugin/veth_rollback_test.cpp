// An ADD of veth that fails leaves the host, the container and the files as they were.
#include <catch2/catch.hpp>
#include <functional>

#include "plugin/veth_network.h"

using Catch::Contains;
using namespace cni::test;  // NOLINT(google-build-using-namespace)

namespace {

using Texts = std::vector<std::string>;

struct Failure {
  const char* name;
  int code;
  const char* message;
  Texts ipam_verbs;
  // Makes it happen: in the network, the container, or the call to come.
  std::function<void(VethNetwork&, const Attached&)> arrange;
  std::function<void(PluginCall&)> change = [](PluginCall&) {};
};

const Json kAddresses = {{{"address", "10.1.2.5/24"}, {"gateway", "10.1.2.1"}},
                         {{"address", "fd00:1:2::5/64"}, {"gateway", "fd00:1:2::1"}}};
const Texts kUndone = {"ADD", "DEL"};
const Texts kNotAsked = {};

void nothing(VethNetwork& /*net*/, const Attached& /*attached*/) {}

auto ipam_gives(const Json& answer) {
  return [answer](VethNetwork& net, const Attached&) { net.give(answer); };
}

std::vector<Failure> failures() {
  return {
      {"no IPAM", 7, "no plugin name provided", kNotAsked,
       [](VethNetwork& net, const Attached&) { net.config.erase("ipam"); }},
      {"no IPAM type", 7, "no plugin name provided", kNotAsked,
       [](VethNetwork& net, const Attached&) { net.config["ipam"].erase("type"); }},
      {"the IPAM plugin is not there", 7, "failed to find plugin \"no-such\"", kNotAsked,
       [](VethNetwork& net, const Attached&) { net.config["ipam"]["type"] = "no-such"; }},
      {"an MTU out of range", 7, "key \"mtu\" is -1", kNotAsked,
       [](VethNetwork& net, const Attached&) { net.config["mtu"] = -1; }},
      {"automatic MTU without a default route", 11, "default route", kNotAsked,
       [](VethNetwork& net, const Attached&) { net.config["mtu"] = "auto"; }},
      {"the namespace is a file", 8, "unknown FS magic on \"/etc/passwd\"", kNotAsked, nothing,
       [](PluginCall& call) { call.netns = "/etc/passwd"; }},
      {"the namespace is the plugin's own", 8, "should not be the same", kNotAsked, nothing,
       [](PluginCall& call) { call.netns = call.host; }},
      {"the kernel refuses the MTU", 999, "invalid argument", kNotAsked,
       [](VethNetwork& net, const Attached&) { net.config["mtu"] = 10; }},
      {"the name is taken in the container", 999, "already exists", kNotAsked,
       [](VethNetwork&, const Attached& attached) {
         attached.container->run("ip link add eth0 type bridge");
         attached.container->run("ip address add 10.8.8.8/24 dev eth0");
       }},
      {"IPAM refuses", 11, "try later", kUndone,
       [](VethNetwork& net, const Attached&) {
         net.ipam.reply(
             "ADD", {.out = R"({"cniVersion":"1.1.0","code":11,"msg":"try later"})", .status = 1});
       }},
      {"IPAM gives no addresses", 999, "IPAM plugin returned missing IP config", kUndone,
       ipam_gives({{"ips", Json::array()}})},
      {"the gateway is of the other family", 999,
       "address 10.1.2.5/24 with the gateway fd00::1, which is of the other family", kUndone,
       ipam_gives({{"ips", {{{"address", "10.1.2.5/24"}, {"gateway", "fd00::1"}}}}})},
      {"the address is its own gateway", 999,
       "address 10.1.2.5/24 with the gateway 10.1.2.5, which is the address itself", kUndone,
       ipam_gives({{"ips", {{{"address", "10.1.2.5/24"}, {"gateway", "10.1.2.5"}}}}})},
      {"another container of this host has the IPv4 address", 999,
       "address 10.1.2.5 of the container is in use on this host: \"other\" (its alias) has a "
       "route "
       "to it already",
       kUndone,
       [](VethNetwork& net, const Attached&) {
         net.host.run("ip link add other type veth peer name far");
         run_checked({.argv = {"ip", "link", "set", "other", "alias", "its alias"},
                      .netns = net.host.path()});
         net.host.run("ip link set other up");
         net.host.run("ip route add 10.1.2.5 dev other");
       }},
      {"another container of this host has the IPv6 address", 999,
       "address fd00:1:2::5 of the container is in use on this host: \"other\" has a route",
       kUndone,
       [](VethNetwork& net, const Attached&) {
         net.host.run("ip link add other type veth peer name far");
         net.host.run("ip link set other up addrgenmode none");
         net.host.run("ip -6 route add fd00:1:2::5 dev other");
       }},
      {"an address is there twice", 999, "IPAM gave the address 10.1.2.5 twice", kUndone,
       ipam_gives({{"ips",
                    {{{"address", "10.1.2.5/24"}, {"gateway", "10.1.2.1"}},
                     {{"address", "10.1.2.5/24"}, {"gateway", "10.1.2.1"}}}}})},
      {"the kernel refuses a route", 999, "failed to add route '10.9.0.0/16 via 10.200.0.1",
       kUndone,
       ipam_gives(
           {{"ips", kAddresses}, {"routes", {{{"dst", "10.9.0.0/16"}, {"gw", "10.200.0.1"}}}}})},
      {"stdout is full", 0, "", kUndone, nothing,
       [](PluginCall& call) { call.stdout_path = "/dev/full"; }},
      {"stdout is closed", 0, "", kUndone, nothing,
       [](PluginCall& call) { call.stdout_closed = true; }},
  };
}

}  // namespace

TEST_CASE("a failed ADD of veth changes nothing", "[veth][rollback][ipv6]") {
  const std::size_t number = GENERATE(range(std::size_t{0}, failures().size()));
  const Failure failure = failures().at(number);
  INFO(failure.name);
  VethNetwork net;
  net.give({{"ips", {{{"address", "10.1.2.9/24"}, {"gateway", "10.1.2.1"}}}}});
  const Attached other = net.add("other");
  net.give({{"ips", kAddresses}});
  const Attached attached = net.attachment("c1");
  failure.arrange(net, attached);
  net.take_ipam_verbs();
  const Snapshot host_before = net.snapshot();
  const Snapshot container_before = Snapshot::take(attached.container->path());

  PluginCall call = net.call("ADD", attached);
  failure.change(call);
  const PluginOutcome outcome = run_plugin_binary(call);
  INFO(outcome.text());
  CHECK(outcome.status == 1);
  CHECK(outcome.signal == 0);
  CHECK_FALSE(outcome.left_processes);
  CHECK(outcome.code() == failure.code);
  CHECK_THAT(outcome.message(), Contains(failure.message));

  CHECK(difference(host_before, net.snapshot()) == "");
  CHECK(difference(container_before, Snapshot::take(attached.container->path())) == "");
  CHECK(net.take_ipam_verbs() == failure.ipam_verbs);
  CHECK(ping(*other.container, "10.1.2.1"));
}

TEST_CASE("a second ADD of veth is refused and the first attachment untouched",
          "[veth][rollback][ipv6]") {
  VethNetwork net;
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
  const PluginOutcome check = net.run("CHECK", one);
  INFO(check.text());
  CHECK(check.status == 0);
}

// The container was restarted without DEL; a process still holds its old namespace.
TEST_CASE("ADD of veth in a new namespace takes over what the dead one left",
          "[veth][rollback][ipv6]") {
  VethNetwork net;
  net.give_dual_stack();
  const Attached old = net.add("c1");
  Attached again = net.attachment("c1");
  net.add(again);
  CHECK(host_end(again.result) == host_end(old.result));
  CHECK_FALSE(old.container->has_link("eth0"));
  CHECK(ping(*again.container, "10.1.2.1"));
  CHECK(ping(net.host, "fd00:1:2::5"));
  const PluginOutcome check = net.run("CHECK", again);
  INFO(check.text());
  CHECK(check.status == 0);
  net.del(again);
  CHECK_FALSE(net.host.has_link(host_end(again.result)));
}
