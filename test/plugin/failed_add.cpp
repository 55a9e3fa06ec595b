#include "plugin/failed_add.h"

#include <catch2/catch.hpp>
#include <optional>

namespace cni::test {

using Catch::Contains;

const Json kAddresses = {{{"address", "10.1.2.5/24"}, {"gateway", "10.1.2.1"}},
                         {{"address", "fd00:1:2::5/64"}, {"gateway", "fd00:1:2::1"}}};
const std::vector<std::string> kUndone = {"ADD", "DEL"};
const std::vector<std::string> kNotAsked = {};

void nothing(Network& /*net*/, const Attached& /*attached*/) {}

std::function<void(Network&, const Attached&)> ipam_says(const FakePlugin::Reply& reply) {
  return [reply](Network& net, const Attached&) { net.ipam.reply("ADD", reply); };
}

std::function<void(Network&, const Attached&)> ipam_gives(const Json& answer) {
  return [answer](Network& net, const Attached&) { net.give(answer); };
}

void check_undone(const Failure& failure, Network& net, bool first) {
  INFO(failure.name << (first ? ", first ADD of the network" : ", with another container"));
  std::optional<Attached> other;
  if (!first) {
    net.give({{"ips",
               {{{"address", "10.1.2.9/24"}, {"gateway", "10.1.2.1"}},
                {{"address", "fd00:1:2::9/64"}, {"gateway", "fd00:1:2::1"}}}}});
    other = net.add("other");
  }
  net.give({{"ips", kAddresses}});
  Attached attached = net.attachment("c1");
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
  CHECK_FALSE(outcome.timed_out);
  CHECK_FALSE(outcome.left_processes);
  CHECK(outcome.code() == failure.code);
  CHECK_THAT(outcome.message(), Contains(failure.message));
  if (failure.code != 0) {
    REQUIRE(outcome.json);
    CHECK(outcome.json->contains("cniVersion"));
  }

  CHECK(difference(host_before, net.snapshot()) == "");
  CHECK(difference(container_before, Snapshot::take(attached.container->path())) == "");
  CHECK(net.take_ipam_verbs() == failure.ipam_verbs);
  if (other) CHECK(ping(*other->container, "10.1.2.1"));

  // The runtime sends a DEL after all; it finds nothing to do.
  CHECK(
      run_plugin_binary(net.call("DEL", attached)).status ==
      (net.config.value("ipam", Json::object()).value("type", "fake-ipam") == "fake-ipam" ? 0 : 1));
  CHECK(difference(host_before, net.snapshot()) == "");
}

}  // namespace cni::test
