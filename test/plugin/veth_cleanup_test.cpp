// STATUS of veth, and the reference suite's ptp on the same node.
#include <catch2/catch.hpp>
#include <iostream>

#include "plugin/veth_network.h"

using Catch::Contains;
using namespace cni::test;  // NOLINT(google-build-using-namespace)

namespace {

constexpr const char* kReference = "/usr/lib/cni/ptp";

}  // namespace

TEST_CASE("STATUS of veth says that there is no IPAM", "[veth][status]") {
  VethNetwork net;
  net.config.erase("ipam");
  const PluginOutcome outcome = net.status();
  INFO(outcome.text());
  CHECK(outcome.code() == 7);
  CHECK_THAT(outcome.message(), Contains("no plugin name provided"));
}

TEST_CASE("our container and one of the reference suite's ptp reach each other",
          "[veth][reference]") {
  VethNetwork net;
  net.config["cniVersion"] = "1.0.0";
  net.give(
      {{"cniVersion", "1.0.0"}, {"ips", {{{"address", "10.1.2.5/24"}, {"gateway", "10.1.2.1"}}}}});
  Attached theirs = net.attachment("c1");
  theirs.result = *net.run_reference("ptp", "ADD", theirs).json;
  net.give(
      {{"cniVersion", "1.0.0"}, {"ips", {{{"address", "10.1.2.6/24"}, {"gateway", "10.1.2.1"}}}}});
  const Attached ours = net.add("c2");
  CHECK(ping(*ours.container, "10.1.2.5"));
  CHECK(ping(*theirs.container, "10.1.2.6"));
}

TEST_CASE("a dual-stack ADD of veth does not wait", "[veth][reference]") {
  VethNetwork net;
  net.config["cniVersion"] = "1.0.0";
  net.give({{"cniVersion", "1.0.0"},
            {"ips",
             {{{"address", "10.1.2.5/24"}, {"gateway", "10.1.2.1"}},
              {{"address", "fd00:1:2::5/64"}, {"gateway", "fd00:1:2::1"}}}}});
  const auto add_with = [&](const std::string& plugin) {
    Attached one = net.attachment("c1");
    PluginCall call = net.call("ADD", one);
    call.plugin = plugin;
    const PluginOutcome outcome = run_plugin_binary(call);
    INFO(outcome.text());
    REQUIRE(outcome.status == 0);
    one.result = *outcome.json;
    net.del(one);
    return outcome.took;
  };
  const auto theirs = add_with(kReference);
  const auto ours = add_with("veth");
  std::cout << "  dual-stack ADD: ptp of the reference suite " << theirs.count() << " ms, veth "
            << ours.count() << " ms, the fake IPAM included\n";
  CHECK(ours < theirs);
}
