// Who has a port of the host: conflicts, the dead, and what a storm leaves.
#include <catch2/catch.hpp>
#include <chrono>
#include <future>

#include "plugin/portmap_network.h"

using Catch::Contains;
using namespace cni::test;  // NOLINT(google-build-using-namespace)

namespace {

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

TEST_CASE("two interfaces of a container in one network have their own ports",
          "[portmap][iptables-nft][iptables-legacy][bridge][veth]") {
  PortmapNetwork net(any_store());
  INFO(name_of(net.store));
  const MappedPod& first = net.add_container(2, true);
  MappedPod second = net.add_container(3, true);
  second.id = first.id;
  second.ifname = "eth1";
  for (Json& interface : second.result["interfaces"]) {
    if (interface["name"] == "eth0") interface["name"] = "eth1";
  }
  const bool same = GENERATE(true, false);
  INFO(same);
  const std::vector<Json> of_first = {PortmapNetwork::mapping(8080), PortmapNetwork::mapping(8090),
                                      PortmapNetwork::mapping(8053, 80, "udp")};
  const std::vector<Json> of_second =
      same ? of_first
           : std::vector{PortmapNetwork::mapping(8081), PortmapNetwork::mapping(8054, 80, "udp"),
                         PortmapNetwork::mapping(9000, 9000, "tcp", {{"range", 5}})};
  net.map(of_first);
  net.must("ADD", first);
  const Snapshot alone = net.snapshot();
  net.map(of_second);
  PluginCall fails = net.call("ADD", second);
  fails.stdout_path = "/dev/full";
  CHECK(run_plugin_binary(fails).status != 0);
  CHECK(difference(alone, net.snapshot()) == "");
  net.must("ADD", second);
  const Snapshot both = net.snapshot();
  const auto is_well = [&](const MappedPod& pod, const std::vector<Json>& mappings) {
    net.map(mappings);
    CHECK(net.check(pod) == "");
  };
  is_well(first, of_first);
  is_well(second, of_second);
  CHECK(who_answers(net, "192.0.2.1", 8080) == "c2");
  if (!same) CHECK(who_answers(net, "192.0.2.1", 8081) == "c3");
  net.map(of_first);
  net.must("ADD", first);
  net.map(of_second);
  net.must("ADD", second);
  CHECK(difference(both, net.snapshot()) == "");

  SECTION("the second goes first") {
    net.must("DEL", second);
    CHECK(difference(alone, net.snapshot()) == "");
    is_well(first, of_first);
    CHECK(who_answers(net, "192.0.2.1", 8080) == "c2");
    net.must("DEL", first);
  }
  SECTION("the first goes first") {
    net.must("DEL", first);
    is_well(second, of_second);
    CHECK(who_answers(net, "192.0.2.1", same ? 8080 : 8081) == "c3");
    if (!same) CHECK(who_answers(net, "192.0.2.1", 8080) == "refused");
    net.must("DEL", second);
  }
  CHECK_THAT(net.snapshot().text(), !Contains("CNI-") && !Contains("plumb_hostports"));
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

TEST_CASE("a program of the host that listens on a mapped port is named in a warning",
          "[portmap][iptables-nft][iptables-legacy]") {
  PortmapNetwork net(any_store());
  INFO(name_of(net.store));
  const MappedPod& pod = net.add_container(2);
  net.servers.serve(net.host, "host", Protocol::kTcp, "192.0.2.1", 8080);
  net.servers.serve(net.host, "host", Protocol::kUdp, "127.0.0.1", 8053);
  const auto said = [&](const std::vector<Json>& mappings) {
    net.map(mappings);
    const PluginOutcome outcome = net.run("ADD", pod);
    CHECK(outcome.status == 0);
    CHECK(net.check(pod) == "");
    return outcome.err;
  };
  CHECK_THAT(said({PortmapNetwork::mapping(8080)}), Contains("8080/tcp") && Contains("192.0.2.1"));
  CHECK_THAT(said({PortmapNetwork::mapping(8080, 80, "tcp", {{"hostIP", "192.0.2.1"}})}),
             Contains("8080/tcp"));
  CHECK_THAT(said({PortmapNetwork::mapping(8000, 8000, "udp", {{"range", 100}})}),
             Contains("8053/udp") && Contains("127.0.0.1"));
  // Another protocol, address or port.
  CHECK(said({PortmapNetwork::mapping(8080, 80, "udp"), PortmapNetwork::mapping(8079),
              PortmapNetwork::mapping(8081), PortmapNetwork::mapping(8053),
              PortmapNetwork::mapping(8080, 80, "tcp", {{"hostIP", "10.1.2.1"}})}) == "");
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
  PortmapNetwork net(any_store());
  INFO(name_of(net.store));
  const MappedPod& bystander = net.add_container(4);
  const MappedPod& holder = net.add_container(2);
  const MappedPod& taker = net.add_container(3);
  const bool alone = GENERATE(true, false);
  net.map({PortmapNetwork::mapping(8070)});
  net.must("ADD", bystander);
  net.must("DEL", bystander);  // the tables of xtables are there from now on
  if (!alone) net.must("ADD", bystander);
  net.map({PortmapNetwork::mapping(8080), PortmapNetwork::mapping(8081, 80, "udp"),
           PortmapNetwork::mapping(9000, 9000, "tcp", {{"range", 10}})});
  net.must("ADD", holder);
  // In the order of their chains' names: a chain that comes back is the youngest.
  const auto rules = [&] { return std::pair(net.rules(4), net.rules(6)); };
  const auto before = rules();
  const Snapshot all = net.snapshot();
  const std::vector<Json> of_holder = net.config["runtimeConfig"]["portMappings"];
  net.map({PortmapNetwork::mapping(8080), PortmapNetwork::mapping(9005)});

  bool is_alive = true;
  SECTION("a live one's") {
    net.config["conflictPolicy"] = "replace";
  }
  SECTION("a dead one's") {
    is_alive = false;
    holder.container->remove();
  }
  SECTION("a dead one's, who alone was masqueraded") {
    is_alive = false;
    holder.container->remove();
    net.config["snat"] = false;
  }
  SECTION("all of a live one's, who alone was masqueraded") {
    net.config["conflictPolicy"] = "replace";
    net.config["snat"] = false;
    net.map(of_holder);
  }
  SECTION("a live one's, in another store") {
    net.config["conflictPolicy"] = "replace";
    net.config["backend"] = net.store == PortmapStore::kNative ? "iptables" : "nftables";
  }
  PluginCall call = net.call("ADD", taker);
  call.stdout_path = "/dev/full";
  CHECK(run_plugin_binary(call).status != 0);
  CHECK(rules() == before);
  if (net.config["backend"] == "nftables" && net.store == PortmapStore::kNative) {
    CHECK(difference(all, net.snapshot()) == "");
  }
  net.map(of_holder);
  net.config.erase("snat");
  if (is_alive) CHECK(net.check(holder) == "");
}

TEST_CASE("who takes a port takes no more than it asks for",
          "[portmap][iptables-nft][iptables-legacy][bridge][veth]") {
  PortmapNetwork net(any_store());
  INFO(name_of(net.store));
  const MappedPod& holder = net.add_container(2, true);
  const MappedPod& taker = net.add_container(3, true);
  net.map({PortmapNetwork::mapping(8080), PortmapNetwork::mapping(8081, 80, "udp"),
           PortmapNetwork::mapping(79, 79, "tcp", {{"range", 3}})});
  net.must("ADD", holder);
  net.config["conflictPolicy"] = "replace";
  net.map({PortmapNetwork::mapping(8080), PortmapNetwork::mapping(81, 80)});
  net.must("ADD", taker);
  CHECK(net.check(taker) == "");
  CHECK(who_answers(net, "192.0.2.1", 8080) == "c3");
  CHECK(who_answers(net, "192.0.2.1", 81) == "c3");
  CHECK(who_answers(net, "192.0.2.1", 80) == "c2");
  CHECK(who_answers(net, "192.0.2.1", 8081, Protocol::kUdp) == "c2");
}

TEST_CASE("a repeated ADD that fails leaves the first as it was",
          "[portmap][iptables-nft][iptables-legacy]") {
  PortmapNetwork net(any_store());
  INFO(name_of(net.store));
  const MappedPod& bystander = net.add_container(3);
  net.map({PortmapNetwork::mapping(8070)});
  net.must("ADD", bystander);
  const MappedPod& pod = net.add_container(2);
  net.map({PortmapNetwork::mapping(8080)});
  net.must("ADD", pod);
  if (net.store != PortmapStore::kNative && GENERATE(false, true)) {
    net.host.run(
        std::string(net.store == PortmapStore::kLegacy ? "iptables-legacy" : "iptables-nft") +
        " -t nat -D POSTROUTING 1");  // leads to the masquerade
  }
  const Snapshot before = net.snapshot();
  SECTION("the same ports") {}
  SECTION("other ports") {
    net.map({PortmapNetwork::mapping(8081)});
  }
  SECTION("none in one family") {
    net.map({PortmapNetwork::mapping(8081, 80, "tcp", {{"hostIP", "2001:db8::1"}})});
  }
  PluginCall call = net.call("ADD", pod);
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
  CHECK(net.run("ADD", a).status == 0);
  CHECK(from_one_port() == "c2");
  net.must("DEL", a);
  CHECK(from_one_port() == "host");
  CHECK(net.run("ADD", b).status == 0);
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
