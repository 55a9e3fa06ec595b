// The life of an attachment's host ports in each store: every verb, what is left, and what DEL can
// do without.
#include <catch2/catch.hpp>

#include "plugin/portmap_network.h"

using Catch::Contains;
using namespace cni::test;  // NOLINT(google-build-using-namespace)

namespace {

// Tables and built-in chains of xtables, which stay once they are made.
void use_tables_once(const PortmapNetwork& net) {
  if (net.store == PortmapStore::kNative) return;
  const std::string flavour = net.store == PortmapStore::kDialect ? "-nft" : "-legacy";
  for (const std::string program : {"iptables", "ip6tables"}) {
    for (const std::string chain : {"PREROUTING", "INPUT", "OUTPUT", "POSTROUTING"}) {
      net.host.run(program + flavour + " -t nat -A " + chain + " -j RETURN");
      net.host.run(program + flavour + " -t nat -D " + chain + " -j RETURN");
    }
  }
}

const std::vector<Json> kMappings = {
    PortmapNetwork::mapping(8080), PortmapNetwork::mapping(8053, 80, "UDP"),
    PortmapNetwork::mapping(8081, 80, "tcp", {{"hostIP", "192.0.2.1"}}),
    PortmapNetwork::mapping(8081, 80, "tcp", {{"hostIP", "2001:db8::1"}}),
    PortmapNetwork::mapping(9000, 9000, "tcp", {{"range", 10}})};

}  // namespace

TEST_CASE("host ports lead to the container until DEL, in every store",
          "[portmap][iptables-nft][iptables-legacy][ipv6][bridge][veth]") {
  PortmapNetwork net(any_store());
  INFO(name_of(net.store));
  use_tables_once(net);
  const MappedPod& pod = net.add_container(2, true);
  net.map(kMappings);
  const Snapshot before = net.snapshot();

  net.must("ADD", pod);
  const Snapshot during = net.snapshot();
  CHECK(net.check(pod) == "");
  CHECK(difference(during, net.snapshot()) == "");
  const auto ask_from = [&](const Namespace& from, const std::string& to, unsigned port,
                            Protocol protocol = Protocol::kTcp) {
    return ask(from, {.to = to, .port = static_cast<std::uint16_t>(port), .protocol = protocol})
        .text();
  };
  CHECK(ask_from(net.lan, "192.0.2.1", 8080) == "c2 saw 192.0.2.2");
  CHECK(ask_from(net.lan, "2001:db8::1", 8080) == "c2 saw 2001:db8::2");
  CHECK(ask_from(net.lan, "192.0.2.1", 8053, Protocol::kUdp) == "c2 saw 192.0.2.2");
  CHECK(ask_from(net.lan, "192.0.2.1", 8081) == "c2 saw 192.0.2.2");
  CHECK(ask_from(net.lan, "2001:db8::1", 8081) == "c2 saw 2001:db8::2");
  CHECK(ask_from(net.host, "127.0.0.1", 8080) == "c2 saw 10.1.2.1");
  CHECK(ask_from(net.host, "10.1.2.1", 8081) == "refused");
  CHECK(ask_from(*pod.container, "10.1.2.1", 8080) == "c2 saw 10.1.2.1");

  // Again: nothing changes.
  net.must("ADD", pod);
  CHECK(difference(during, net.snapshot()) == "");

  for (int round = 0; round < 2; ++round) net.must("DEL", pod);
  CHECK(difference(before, net.snapshot()) == "");
  CHECK(ask_from(net.lan, "192.0.2.1", 8080) == "refused");
  CHECK(net.check(pod) != "");
}

TEST_CASE("DEL needs nothing but the names of the attachment",
          "[portmap][iptables-nft][iptables-legacy]") {
  PortmapNetwork net(any_store());
  INFO(name_of(net.store));
  use_tables_once(net);
  MappedPod& pod = net.add_container(2);
  const Snapshot before = net.snapshot();
  net.map(kMappings);
  net.must("ADD", pod);

  SECTION("no mappings") {
    net.config.erase("runtimeConfig");
  }
  SECTION("bad mappings") {
    net.map({PortmapNetwork::mapping(0, 99999, "icmp")});
  }
  SECTION("no result") {
    pod.result = nullptr;
  }
  SECTION("no namespace") {
    pod.container->remove();
  }
  SECTION("another name of the network") {
    net.config["name"] = "renamed";
  }
  SECTION("nothing of all that") {
    net.config.erase("runtimeConfig");
    net.config["name"] = "renamed";
    pod.result = nullptr;
    pod.container->remove();
  }
  SECTION("another backend") {
    net.config["backend"] = net.store == PortmapStore::kNative ? "iptables" : "nftables";
  }
  net.must("DEL", pod);
  CHECK(difference(before, net.snapshot()) == "");
}

TEST_CASE("a DEL that could not remove everything is finished by the next, or by GC",
          "[portmap][iptables-nft][iptables-legacy]") {
  PortmapNetwork net(any_store());
  INFO(name_of(net.store));
  use_tables_once(net);
  const MappedPod& other = net.add_container(3);
  const MappedPod& pod = net.add_container(2);
  net.map({PortmapNetwork::mapping(8083)});
  const bool alone = GENERATE(true, false);
  if (!alone) net.must("ADD", other);
  const Snapshot before = net.snapshot();
  net.map(kMappings);
  net.must("ADD", pod);
  const Snapshot during = net.snapshot();

  const TempDirectory directory;
  PluginCall call = net.call("DEL", pod);
  const std::string lack = GENERATE("sysctls", "lock of xtables");
  if (lack == "sysctls") {
    directory.write("portmap",
                    "#!/bin/sh\nPATH=/usr/bin:/bin exec unshare -m sh -c 'mount --bind /proc/sys "
                    "/proc/sys && mount -o remount,bind,ro /proc/sys && exec " +
                        plugin_directory() + "/portmap'\n",
                    0755);
    call.plugin = directory / "portmap";
  } else {
    call.environment["XTABLES_LOCKFILE"] = directory / "missing" + "/lock";
  }
  INFO(lack);
  const PluginOutcome outcome = run_plugin_binary(call);
  INFO(outcome.text());
  const bool uses_lock = net.store == PortmapStore::kLegacy;
  const bool resets = lack == "sysctls" && alone;
  REQUIRE((outcome.status != 0) == (resets || (lack != "sysctls" && uses_lock)));
  if (resets) {
    CHECK_THAT(outcome.message(), Contains("route_localnet"));
    // What guards it is there as long as it is on.
    CHECK_THAT(net.host.run("nft list ruleset"), Contains("chain guard") && !Contains("10.1.2.2:"));
  }

  SECTION("DEL") {
    net.must("DEL", pod);
  }
  SECTION("GC") {
    net.config["cni.dev/valid-attachments"] = {{{"containerID", "c3"}, {"ifname", "eth0"}}};
    net.must("GC", pod);
  }
  SECTION("ADD") {
    net.must("ADD", pod);
    CHECK(net.check(pod) == "");
    CHECK(difference(during, net.snapshot()) == "");
    net.must("DEL", pod);
  }
  SECTION("ADD of another that wants the port, then DEL") {
    MappedPod& next = net.add_container(4);
    net.must("ADD", next);
    CHECK(net.check(next) == "");
    CHECK_THAT(net.snapshot().text(), !Contains("10.1.2.2:"));
    net.must("DEL", next);
    net.must("DEL", pod);
  }
  CHECK(difference(before, net.snapshot()) == "");
}

TEST_CASE("DEL of an attachment that never was changes nothing",
          "[portmap][iptables-nft][iptables-legacy]") {
  PortmapNetwork net(any_store());
  const MappedPod& one = net.add_container(2);
  const MappedPod& other = net.add_container(3);
  net.map({PortmapNetwork::mapping(8080)});
  net.must("DEL", one);
  net.must("ADD", one);
  const Snapshot before = net.snapshot();
  net.must("DEL", other);
  MappedPod second_interface = one;
  second_interface.ifname = "eth1";
  net.config["name"] = "net2";
  net.must("DEL", second_interface);
  CHECK(difference(before, net.snapshot()) == "");
}

TEST_CASE("GC takes the host ports of attachments of its network that are gone",
          "[portmap][iptables-nft][iptables-legacy]") {
  PortmapNetwork net(any_store());
  INFO(name_of(net.store));
  use_tables_once(net);
  const MappedPod& kept = net.add_container(2);
  const MappedPod& lost = net.add_container(3);
  const MappedPod& elsewhere = net.add_container(4);
  net.map({PortmapNetwork::mapping(8082)});
  net.must("ADD", kept);
  net.config["name"] = "net2";
  net.map({PortmapNetwork::mapping(8084)});
  net.must("ADD", elsewhere);
  net.config["name"] = "net1";
  const Snapshot before = net.snapshot();
  net.map({PortmapNetwork::mapping(8083)});
  net.must("ADD", lost);

  net.config["cni.dev/valid-attachments"] = {{{"containerID", "c2"}, {"ifname", "eth0"}}};
  net.must("GC", lost);
  CHECK(difference(before, net.snapshot()) == "");
  net.must("GC", lost);
  CHECK(difference(before, net.snapshot()) == "");
}

TEST_CASE("a failed ADD leaves nothing, and what it replaced as it was",
          "[portmap][iptables-nft][iptables-legacy]") {
  PortmapNetwork net(any_store());
  INFO(name_of(net.store));
  use_tables_once(net);
  const MappedPod& one = net.add_container(2);
  const MappedPod& other = net.add_container(3);
  net.map({PortmapNetwork::mapping(8080), PortmapNetwork::mapping(8090)});
  SECTION("alone") {}
  SECTION("beside others") {
    net.must("ADD", other);
  }
  net.map({PortmapNetwork::mapping(8081, 80, "udp")});
  const Snapshot before = net.snapshot();
  PluginCall call = net.call("ADD", one);
  const std::string why = GENERATE("full disk", "closed stdout", "bad configuration");
  INFO(why);
  if (why == "full disk") {
    call.stdout_path = "/dev/full";
  } else if (why == "closed stdout") {
    call.stdout_closed = true;
  } else {
    net.map({PortmapNetwork::mapping(8082), PortmapNetwork::mapping(70000)});
    call = net.call("ADD", one);
  }
  const PluginOutcome outcome = run_plugin_binary(call);
  INFO(outcome.text());
  CHECK(outcome.status != 0);
  CHECK(difference(before, net.snapshot()) == "");
}

TEST_CASE("an attachment that is added again has its new ports only",
          "[portmap][iptables-nft][iptables-legacy]") {
  PortmapNetwork net(any_store());
  INFO(name_of(net.store));
  use_tables_once(net);
  MappedPod& pod = net.add_container(2);
  const Snapshot before = net.snapshot();
  net.map({PortmapNetwork::mapping(8080), PortmapNetwork::mapping(8081)});
  net.must("ADD", pod);
  net.map({PortmapNetwork::mapping(8081, 81), PortmapNetwork::mapping(8082)});
  pod.result["ips"][0]["address"] = "10.1.2.77/24";
  net.must("ADD", pod);
  CHECK(net.check(pod) == "");
  const std::string text = net.snapshot().text();
  CHECK_THAT(text, !Contains("8080") && Contains("8082") && !Contains("10.1.2.2 ") &&
                       Contains("10.1.2.77"));
  net.must("DEL", pod);
  CHECK(difference(before, net.snapshot()) == "");
}

TEST_CASE("ADD without mappings or without addresses does nothing", "[portmap]") {
  PortmapNetwork net;
  MappedPod& pod = net.add_container(2);
  const Snapshot before = net.snapshot();
  SECTION("no key") {}
  SECTION("an empty list") {
    net.map({});
  }
  SECTION("no address") {
    net.map({PortmapNetwork::mapping(8080)});
    pod.result.erase("ips");
  }
  net.must("ADD", pod);
  net.must("CHECK", pod);
  CHECK(difference(before, net.snapshot()) == "");
}

TEST_CASE("portmap is a chained plugin", "[portmap]") {
  PortmapNetwork net;
  MappedPod& pod = net.add_container(2);
  net.map({PortmapNetwork::mapping(8080)});
  pod.result = nullptr;
  CHECK(net.run("ADD", pod).message() ==
        "must be called as chained plugin: Required prevResult missing");
  CHECK(net.run("CHECK", pod).message() == "Required prevResult missing");
  CHECK(net.run("ADD", pod).code() == 7);
}

TEST_CASE("STATUS says whether the store can be used, and touches nothing",
          "[portmap][iptables-nft][iptables-legacy]") {
  PortmapNetwork net(any_store());
  const MappedPod& pod = net.add_container(2);
  const Snapshot before = net.snapshot();
  net.must("STATUS", pod);
  CHECK(difference(before, net.snapshot()) == "");
  net.config["markMasqBit"] = 99;
  CHECK(net.run("STATUS", pod).code() == 7);
}

TEST_CASE("route_localnet is on as long as somebody needs it",
          "[portmap][iptables-nft][iptables-legacy]") {
  PortmapNetwork net(any_store());
  INFO(name_of(net.store));
  const auto value = [&] {
    return net.host.run("cat /proc/sys/net/ipv4/conf/br0/route_localnet").substr(0, 1);
  };
  const MappedPod& one = net.add_container(2);
  const MappedPod& other = net.add_container(3);
  std::string at_first = "0";
  SECTION("off before") {}
  SECTION("on before") {
    net.host.run("sysctl -qw net.ipv4.conf.br0.route_localnet=1");
    at_first = "1";
  }
  net.map({PortmapNetwork::mapping(8080)});
  net.must("ADD", one);
  CHECK(value() == "1");
  net.map({PortmapNetwork::mapping(8081)});
  net.must("ADD", other);
  net.must("DEL", one);
  CHECK(value() == "1");
  CHECK(net.check(other) == "");
  net.host.run("sysctl -qw net.ipv4.conf.br0.route_localnet=0");
  CHECK_THAT(net.check(other), Contains("route_localnet"));
  net.host.run("sysctl -qw net.ipv4.conf.br0.route_localnet=1");
  net.must("DEL", other);
  CHECK(value() == at_first);
}

TEST_CASE("route_localnet becomes what it was though somebody flushed the rule set", "[portmap]") {
  PortmapNetwork net;
  const std::string at_first = GENERATE("0", "1");
  net.host.run("sysctl -qw net.ipv4.conf.br0.route_localnet=" + at_first);
  const auto value = [&] {
    return net.host.run("cat /proc/sys/net/ipv4/conf/br0/route_localnet").substr(0, 1);
  };
  net.map({PortmapNetwork::mapping(8080)});
  const MappedPod& one = net.add_container(2);
  net.must("ADD", one);
  net.host.run("nft flush ruleset");
  SECTION("then DEL") {}
  SECTION("then the ADD of another, which needs it") {
    const MappedPod& other = net.add_container(3);
    net.must("ADD", other);
    net.must("DEL", one);
    CHECK(value() == "1");
    net.must("DEL", other);
  }
  SECTION("then GC") {
    net.must("GC", one);
  }
  net.must("DEL", one);
  CHECK(value() == at_first);
}

TEST_CASE("what listens on localhost of the host is reached from the host alone",
          "[portmap][iptables-nft][iptables-legacy][bridge][veth]") {
  PortmapNetwork net(any_store());
  INFO(name_of(net.store));
  const MappedPod& pod = net.add_container(2, true);
  net.servers.serve(net.host, "private", Protocol::kUdp, "127.0.0.1", 7000);
  net.map({PortmapNetwork::mapping(8080)});
  net.must("ADD", pod);
  // Root in a container chooses its routes.
  pod.container->run("ip addr del 127.0.0.1/8 dev lo");
  pod.container->run("sysctl -qw net.ipv4.conf.eth0.route_localnet=1");
  pod.container->run("ip route add 127.0.0.1/32 via 10.1.2.1 dev eth0 src 10.1.2.2");
  CHECK(ask(net.host, {.to = "127.0.0.1", .port = 7000, .protocol = Protocol::kUdp}).who ==
        "private");
  const Question attack{.to = "127.0.0.1",
                        .port = 7000,
                        .protocol = Protocol::kUdp,
                        .limit = std::chrono::milliseconds(300)};
  CHECK(ask(*pod.container, attack).who == "silence");
  // The attack would succeed but for the guard.
  if (net.host.run("nft list tables").find("plumb_hostports") != std::string::npos) {
    net.host.run("nft flush chain ip plumb_hostports guard");
    CHECK(ask(*pod.container, attack).who == "private");
    CHECK_THAT(net.check(pod), Contains("guard"));
  }
}
