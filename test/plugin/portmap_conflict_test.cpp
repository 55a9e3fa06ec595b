// Who has a port of the host: conflicts, the dead, and what a storm leaves.
#include <catch2/catch.hpp>
#include <chrono>
#include <future>

#include "plugin/portmap_network.h"

using Catch::Contains;
using namespace cni::test;  // NOLINT(google-build-using-namespace)

namespace {

PortmapStore any_store() {
  return GENERATE(PortmapStore::kNative, PortmapStore::kDialect, PortmapStore::kLegacy);
}

std::string who_answers(const PortmapNetwork& net, const std::string& to, std::uint16_t port,
                        Protocol protocol = Protocol::kTcp) {
  return ask(net.lan, {.to = to,
                       .port = port,
                       .protocol = protocol,
                       .limit = std::chrono::milliseconds(700)})
      .who;
}

}  // namespace

TEST_CASE("a port in use by a live attachment is refused with the name of the holder",
          "[portmap][iptables-nft][iptables-legacy]") {
  PortmapNetwork net(any_store());
  INFO(name_of(net.store));
  const MappedPod& one = net.add_container(2);
  const MappedPod& other = net.add_container(3);
  net.map({PortmapNetwork::mapping(8080)});
  PluginCall with_pod = net.call("ADD", one);
  with_pod.args = "IgnoreUnknown=1;K8S_POD_NAMESPACE=default;K8S_POD_NAME=web-0";
  REQUIRE(run_plugin_binary(with_pod).status == 0);
  const Snapshot before = net.snapshot();

  const auto refused = [&](const Json& mapping) {
    net.map({PortmapNetwork::mapping(7999), mapping});
    const PluginOutcome outcome = net.run("ADD", other);
    INFO(outcome.text());
    CHECK(outcome.code() == 11);
    CHECK_THAT(outcome.message(), Contains("8080/tcp") && Contains("c2") && Contains("net1") &&
                                      Contains("default/web-0"));
    CHECK(difference(before, net.snapshot()) == "");
  };
  refused(PortmapNetwork::mapping(8080, 90));
  refused(PortmapNetwork::mapping(8080, 80, "tcp", {{"hostIP", "192.0.2.1"}}));
  refused(PortmapNetwork::mapping(8070, 8070, "tcp", {{"range", 20}}));

  net.map({PortmapNetwork::mapping(8080, 80, "udp")});
  net.must("ADD", other);
}

TEST_CASE("a container in two networks has its ports through the first, then through the other",
          "[portmap][iptables-nft][iptables-legacy][bridge][veth]") {
  PortmapNetwork net(any_store());
  INFO(name_of(net.store));
  // Runtimes give every network of a container the same mappings.
  const MappedPod& first = net.add_container(2);
  MappedPod second = net.add_container(3, true);
  second.id = first.id;
  second.ifname = "eth1";
  for (Json& interface : second.result["interfaces"]) {
    if (interface["name"] == "eth0") interface["name"] = "eth1";
  }
  net.map({PortmapNetwork::mapping(8080)});
  net.must("ADD", first);
  net.config["name"] = "net2";
  net.must("ADD", second);
  net.config["name"] = "net1";
  net.must("DEL", first);
  CHECK(who_answers(net, "192.0.2.1", 8080) == "c3");
  net.config["name"] = "net2";
  net.must("DEL", second);
  CHECK(who_answers(net, "192.0.2.1", 8080) == "refused");
}

TEST_CASE("the same port on two addresses of the host is no conflict",
          "[portmap][iptables-nft][iptables-legacy][bridge][veth]") {
  PortmapNetwork net(any_store());
  INFO(name_of(net.store));
  net.host.run("ip addr add 192.0.2.11/24 dev up0");
  const MappedPod& one = net.add_container(2, true);
  const MappedPod& other = net.add_container(3, true);
  net.map({PortmapNetwork::mapping(8080, 80, "tcp", {{"hostIP", "192.0.2.1"}})});
  net.must("ADD", one);
  net.map({PortmapNetwork::mapping(8080, 80, "tcp", {{"hostIP", "192.0.2.11"}})});
  net.must("ADD", other);
  CHECK(who_answers(net, "192.0.2.1", 8080) == "c2");
  CHECK(who_answers(net, "192.0.2.11", 8080) == "c3");
  CHECK(net.check(other) == "");
}

TEST_CASE("the port of a dead attachment is taken over, and its DEL takes nothing away",
          "[portmap][iptables-nft][iptables-legacy][bridge][veth]") {
  PortmapNetwork net(any_store());
  INFO(name_of(net.store));
  const MappedPod& dead = net.add_container(2);
  const MappedPod& alive = net.add_container(3, true);
  net.map({PortmapNetwork::mapping(8080), PortmapNetwork::mapping(8099)});
  net.must("ADD", dead);
  dead.container->remove();
  net.map({PortmapNetwork::mapping(8080)});
  net.must("ADD", alive);
  CHECK(net.check(alive) == "");
  CHECK(who_answers(net, "192.0.2.1", 8080) == "c3");
  CHECK_THAT(net.snapshot().text(), !Contains("8099"));
  const Snapshot before = net.snapshot();
  net.must("DEL", dead);
  CHECK(difference(before, net.snapshot()) == "");
  CHECK(who_answers(net, "192.0.2.1", 8080) == "c3");
}

TEST_CASE("removing A after its port went to B leaves B",
          "[portmap][iptables-nft][iptables-legacy][bridge][veth]") {
  PortmapNetwork net(any_store());
  INFO(name_of(net.store));
  const MappedPod& a = net.add_container(2);
  const MappedPod& b = net.add_container(3, true);
  net.map({PortmapNetwork::mapping(8080), PortmapNetwork::mapping(8081)});
  net.must("ADD", a);
  net.config["conflictPolicy"] = "replace";
  net.map({PortmapNetwork::mapping(8080)});
  net.must("ADD", b);
  CHECK(who_answers(net, "192.0.2.1", 8080) == "c3");
  // Nothing but that port was taken.
  CHECK_THAT(net.snapshot().text(), Contains("8081"));
  net.map({PortmapNetwork::mapping(8080), PortmapNetwork::mapping(8081)});
  CHECK_THAT(net.check(a), Contains("8080") && Contains("c3"));
  net.must("DEL", a);
  net.map({PortmapNetwork::mapping(8080)});
  CHECK(net.check(b) == "");
  CHECK(who_answers(net, "192.0.2.1", 8080) == "c3");
}

TEST_CASE("who shares a port gets it when the holder leaves", "[portmap][bridge][veth]") {
  PortmapNetwork net;
  net.config["conflictPolicy"] = "share";
  const MappedPod& first = net.add_container(2, true);
  const MappedPod& second = net.add_container(3, true);
  const Snapshot before = net.snapshot();
  net.map({PortmapNetwork::mapping(8080)});
  net.must("ADD", first);
  net.must("ADD", second);
  CHECK(who_answers(net, "192.0.2.1", 8080) == "c2");
  CHECK(net.check(second) == "");
  net.must("DEL", first);
  CHECK(who_answers(net, "192.0.2.1", 8080) == "c3");
  CHECK(net.check(second) == "");
  net.must("DEL", second);
  CHECK(difference(before, net.snapshot()) == "");
}

TEST_CASE("a failed ADD gives back what it took from others",
          "[portmap][iptables-nft][iptables-legacy]") {
  PortmapNetwork net;
  const MappedPod& holder = net.add_container(2);
  const MappedPod& taker = net.add_container(3);
  net.map({PortmapNetwork::mapping(8080)});
  net.must("ADD", holder);
  const Snapshot before = net.snapshot();
  net.config["conflictPolicy"] = "replace";
  PluginCall call = net.call("ADD", taker);
  call.stdout_path = "/dev/full";
  CHECK(run_plugin_binary(call).status != 0);
  CHECK(difference(before, net.snapshot()) == "");
}

TEST_CASE("flows of UDP follow at once",
          "[portmap][iptables-nft][iptables-legacy][bridge][veth][conntrack]") {
  PortmapNetwork net(any_store());
  INFO(name_of(net.store));
  const MappedPod& a = net.add_container(2, true);
  const MappedPod& b = net.add_container(3, true);
  net.servers.serve(net.host, "host", Protocol::kUdp, "192.0.2.1", 8053);
  const auto from_one_port = [&] {
    return ask(net.lan,
               {.to = "192.0.2.1", .port = 8053, .protocol = Protocol::kUdp, .from_port = 5353})
        .who;
  };
  CHECK(from_one_port() == "host");
  net.map({PortmapNetwork::mapping(8053, 80, "udp")});
  net.must("ADD", a);
  CHECK(from_one_port() == "c2");
  net.must("DEL", a);
  CHECK(from_one_port() == "host");
  net.must("ADD", b);
  CHECK(from_one_port() == "c3");
}

TEST_CASE("two containers that swap a port under a storm end with one of them, or none",
          "[portmap][iptables-nft][iptables-legacy]") {
  PortmapNetwork net(any_store());
  INFO(name_of(net.store));
  net.config["conflictPolicy"] = "replace";
  net.map({PortmapNetwork::mapping(8080)});
  const MappedPod& a = net.add_container(2);
  const MappedPod& b = net.add_container(3);
  const MappedPod& bystander = net.add_container(4);
  PortmapNetwork* shared = &net;
  net.map({PortmapNetwork::mapping(8090)});
  net.must("ADD", bystander);
  net.map({PortmapNetwork::mapping(8080)});
  const auto storm = [shared](const MappedPod& pod) {
    int failures = 0;
    for (int round = 0; round < 8; ++round) {
      for (const char* verb : {"ADD", "DEL"}) {
        failures += shared->run(verb, pod).status == 0 ? 0 : 1;
      }
    }
    return failures;
  };
  auto one = std::async(std::launch::async, storm, a);
  auto other = std::async(std::launch::async, storm, b);
  CHECK(one.get() == 0);
  CHECK(other.get() == 0);
  CHECK_THAT(net.snapshot().text(), !Contains("8080") && Contains("8090"));
  net.must("ADD", a);
  CHECK(net.check(a) == "");
  net.map({PortmapNetwork::mapping(8090)});
  CHECK(net.check(bystander) == "");
}
