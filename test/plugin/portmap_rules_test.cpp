// Rules as other tools see them, the reference suite's portmap on both sides, and cost.
#include <catch2/catch.hpp>
#include <chrono>
#include <filesystem>
#include <iostream>

#include "plugin/portmap_network.h"

using Catch::Contains;
using Catch::VectorContains;
using namespace cni::test;  // NOLINT(google-build-using-namespace)
using Lines = std::vector<std::string>;

namespace {

PortmapStore xtables_store() {
  return GENERATE(PortmapStore::kDialect, PortmapStore::kLegacy);
}

constexpr const char* kChain = "CNI-DN-23559223f6409273321f8";  // of "test" and "cid0001"

}  // namespace

TEST_CASE("the rules in table nat are those of the reference suite",
          "[portmap][iptables-nft][iptables-legacy]") {
  PortmapNetwork net(xtables_store());
  INFO(name_of(net.store));
  MappedPod& pod = net.add_container(2);
  pod.id = "cid0001";
  pod.result["ips"][0]["address"] = "10.0.0.2/24";
  pod.result["ips"][1]["address"] = "2001:db8::2/64";
  net.config["name"] = "test";
  net.map({PortmapNetwork::mapping(8080),
           PortmapNetwork::mapping(8083, 83, "tcp", {{"hostIP", "192.168.0.2"}})});
  net.must("ADD", pod);
  const std::string chain = std::string("-A ") + kChain;
  Lines expected = {
      "-A PREROUTING -m addrtype --dst-type LOCAL -j CNI-HOSTPORT-DNAT",
      "-A OUTPUT -m addrtype --dst-type LOCAL -j CNI-HOSTPORT-DNAT",
      "-A POSTROUTING -m comment --comment \"CNI portfwd requiring masquerade\" -j "
      "CNI-HOSTPORT-MASQ",
      chain + " -s 10.0.0.0/24 -p tcp -m tcp --dport 8080 -j CNI-HOSTPORT-SETMARK",
      chain + " -s 127.0.0.1/32 -p tcp -m tcp --dport 8080 -j CNI-HOSTPORT-SETMARK",
      chain + " -p tcp -m tcp --dport 8080 -j DNAT --to-destination 10.0.0.2:80",
      chain +
          " -s 10.0.0.0/24 -d 192.168.0.2/32 -p tcp -m tcp --dport 8083 -j "
          "CNI-HOSTPORT-SETMARK",
      chain +
          " -s 127.0.0.1/32 -d 192.168.0.2/32 -p tcp -m tcp --dport 8083 -j "
          "CNI-HOSTPORT-SETMARK",
      chain +
          " -d 192.168.0.2/32 -p tcp -m tcp --dport 8083 -j DNAT --to-destination "
          "10.0.0.2:83",
      std::string("-A CNI-HOSTPORT-DNAT -p tcp -m comment --comment \"dnat name: \\\"test\\\" "
                  "id: \\\"cid0001\\\"\" -m multiport --dports 8080,8083 -j ") +
          kChain,
      "-A CNI-HOSTPORT-MASQ -m mark --mark 0x2000/0x2000 -j MASQUERADE",
      "-A CNI-HOSTPORT-SETMARK -m comment --comment \"CNI portfwd masquerade mark\" -j MARK "
      "--set-xmark 0x2000/0x2000"};
  std::sort(expected.begin(), expected.end());
  CHECK(net.rules(4) == expected);
  const Lines v6 = net.rules(6);
  CHECK(v6.size() == 8);
  CHECK_THAT(v6, VectorContains(chain + " -p tcp -m tcp --dport 8080 -j DNAT --to-destination "
                                        "[2001:db8::2]:80"));
}

TEST_CASE("the keys of the reference suite show in the rules",
          "[portmap][iptables-nft][iptables-legacy]") {
  PortmapNetwork net(xtables_store());
  INFO(name_of(net.store));
  MappedPod& pod = net.add_container(2);
  net.map({PortmapNetwork::mapping(8080)});
  const auto text = [&] {
    std::string all;
    for (const std::string& line : net.rules(4)) all += line + "\n";
    return all;
  };
  SECTION("snat") {
    net.config["snat"] = false;
    net.must("ADD", pod);
    CHECK_THAT(text(), !Contains("SETMARK") && !Contains("MASQ") && Contains("DNAT"));
    CHECK(net.host.run("cat /proc/sys/net/ipv4/conf/br0/route_localnet") == "0\n");
  }
  SECTION("masqAll") {
    net.config["masqAll"] = true;
    net.must("ADD", pod);
    CHECK_THAT(text(), Contains(" -p tcp -m tcp --dport 8080 -j CNI-HOSTPORT-SETMARK") &&
                           !Contains("-s 10.1.2.0/24") && !Contains("-s 127.0.0.1"));
  }
  SECTION("markMasqBit") {
    net.config["markMasqBit"] = 5;
    net.must("ADD", pod);
    CHECK_THAT(text(), Contains("--set-xmark 0x20/0x20") && Contains("--mark 0x20/0x20"));
  }
  SECTION("externalSetMarkChain") {
    const std::string program =
        net.store == PortmapStore::kDialect ? "iptables-nft" : "iptables-legacy";
    net.config["externalSetMarkChain"] = "KUBE-MARK-MASQ";
    CHECK(net.run("ADD", pod).status != 0);
    for (const std::string family : {"", "6"}) {
      net.host.run((family.empty() ? program : "ip6" + program.substr(2)) +
                   " -t nat -N KUBE-MARK-MASQ");
    }
    net.must("ADD", pod);
    CHECK_THAT(text(), Contains("--dport 8080 -j KUBE-MARK-MASQ") && !Contains("HOSTPORT-SETMARK"));
  }
  SECTION("conditions") {
    net.config["conditionsV4"] = {"!", "-s", "192.0.2.2", "-i", "up0"};
    net.must("ADD", pod);
    CHECK_THAT(text(), Contains("CNI-HOSTPORT-DNAT ! -s 192.0.2.2/32 -i up0 -p tcp"));
  }
  CHECK(net.check(pod) == "");
  net.must("DEL", pod);
  CHECK_THAT(text(), !Contains("CNI-"));
}

TEST_CASE("CHECK names what is missing on the way", "[portmap][iptables-nft][iptables-legacy]") {
  PortmapNetwork net(xtables_store());
  INFO(name_of(net.store));
  const std::string program =
      net.store == PortmapStore::kDialect ? "iptables-nft" : "iptables-legacy";
  MappedPod& pod = net.add_container(2);
  net.map({PortmapNetwork::mapping(8080)});
  net.must("ADD", pod);
  const auto without = [&](const std::string& rule, const std::string& named) {
    net.host.run(program + " -t nat -D " + rule);
    CHECK_THAT(net.check(pod), Contains(named));
    net.must("ADD", pod);
    CHECK(net.check(pod) == "");
  };
  without("PREROUTING -m addrtype --dst-type LOCAL -j CNI-HOSTPORT-DNAT", "PREROUTING");
  without("OUTPUT -m addrtype --dst-type LOCAL -j CNI-HOSTPORT-DNAT", "OUTPUT");
  net.host.run(program + " -t nat -A POSTROUTING -j RETURN");
  without("POSTROUTING 1", "POSTROUTING");
  CHECK_THAT(net.host.run(program + " -t nat -S POSTROUTING 1"), Contains("-j CNI-HOSTPORT-MASQ"));
  without("CNI-HOSTPORT-MASQ 1", "CNI-HOSTPORT-MASQ");
  without("CNI-HOSTPORT-SETMARK 1", "CNI-HOSTPORT-SETMARK");
  without("CNI-HOSTPORT-DNAT 1", "CNI-HOSTPORT-DNAT");
  net.map({PortmapNetwork::mapping(8081)});
  CHECK_THAT(net.check(pod), Contains("8081"));
}

TEST_CASE("CHECK names what is missing in the native table", "[portmap][nftables]") {
  PortmapNetwork net;
  MappedPod& pod = net.add_container(2);
  net.map({PortmapNetwork::mapping(8080, 80, "tcp", {{"allowFrom", {"10.0.0.0/8"}}}),
           PortmapNetwork::mapping(9000, 9000, "udp", {{"range", 5}})});
  net.must("ADD", pod);
  CHECK(net.check(pod) == "");
  const auto after = [&](const std::string& command, const std::string& named) {
    net.host.run(command);
    CHECK_THAT(net.check(pod), Contains(named));
    net.must("ADD", pod);
    CHECK(net.check(pod) == "");
  };
  after("nft flush chain ip plumb_hostports prerouting", "\"prerouting\"");
  after("nft flush chain ip6 plumb_hostports hostports", "\"hostports\"");
  after("nft insert rule ip plumb_hostports postrouting accept", "\"postrouting\"");
  after("nft delete element ip plumb_hostports ports { tcp . 8080 }", "\"ports\"");
  after("nft flush map ip plumb_hostports ranges", "\"ranges\"");
  after("nft flush map ip plumb_hostports sources_of", "\"sources_of\"");
  after("nft flush map ip plumb_hostports gates", "\"gates\"");
  after("nft delete table ip plumb_hostports", "IPv4");
  after("nft flush ruleset", "IPv6");
  net.map({PortmapNetwork::mapping(8080, 81)});
  CHECK_THAT(net.check(pod), Contains("9000-9004/udp"));
}

TEST_CASE("the reference portmap checks and deletes what we made",
          "[portmap][reference-plugins][iptables-nft][iptables-legacy]") {
  PortmapNetwork net(xtables_store());
  INFO(name_of(net.store));
  MappedPod& pod = net.add_container(2);
  const bool dual_stack = GENERATE(false, true);
  if (!dual_stack) pod.result["ips"].erase(1);
  // Its ip6tables-legacy tells rules apart by their headers alone: one port per protocol.
  net.map({PortmapNetwork::mapping(8080), PortmapNetwork::mapping(8053, 53, "udp"),
           PortmapNetwork::mapping(8132, 132, "sctp")});
  net.must("ADD", pod);
  const Lines v4 = net.rules(4);
  const Lines v6 = net.rules(6);
  if (!dual_stack) {
    // Debian's release then looks for the IPv4 rules among those of IPv6, which nobody made: what
    // it says to IPv4 is that all is well.
    const std::string said = net.run_reference("CHECK", pod).message();
    CHECK_THAT(said, said.empty() ? Contains("") : Contains("could not check ipv6 dnat: chain"));
  }
  net.must_by_reference("ADD", pod);
  CHECK(net.rules(4) == v4);
  CHECK(net.rules(6) == v6);
  net.must_by_reference("DEL", pod);
  for (const int family : {4, 6}) {
    for (const std::string& line : net.rules(family)) CHECK_THAT(line, !Contains("CNI-DN-"));
  }
  net.must("DEL", pod);
}

TEST_CASE("we check and delete what the reference portmap made",
          "[portmap][reference-plugins][iptables-nft][iptables-legacy]") {
  PortmapNetwork net(xtables_store());
  INFO(name_of(net.store));
  MappedPod& pod = net.add_container(2);
  net.map({PortmapNetwork::mapping(8080), PortmapNetwork::mapping(8053, 53, "udp")});
  net.must_by_reference("ADD", pod);
  CHECK(net.check(pod) == "");

  SECTION("as it was") {}
  SECTION("with no idea of the mappings") {
    net.config.erase("runtimeConfig");
  }
  SECTION("with another backend") {
    net.config["backend"] = "nftables";
  }
  SECTION("with the name of the network changed") {
    net.config["name"] = "renamed";
  }
  SECTION("by GC") {
    net.config["cni.dev/valid-attachments"] = Json::array();
    net.must("GC", pod);
  }
  if (!net.config.contains("cni.dev/valid-attachments")) net.must("DEL", pod);
  for (const int family : {4, 6}) {
    for (const std::string& line : net.rules(family)) CHECK_THAT(line, !Contains("CNI-DN-"));
  }
}

TEST_CASE("a port that the reference portmap gave to a live container is refused",
          "[portmap][reference-plugins][iptables-nft][iptables-legacy][bridge][veth]") {
  PortmapNetwork net(xtables_store());
  INFO(name_of(net.store));
  const MappedPod& theirs = net.add_container(2, true);
  const MappedPod& ours = net.add_container(3);
  net.map({PortmapNetwork::mapping(8080)});
  net.must_by_reference("ADD", theirs);
  const PluginOutcome refused = net.run("ADD", ours);
  CHECK(refused.code() == 11);
  CHECK_THAT(refused.message(), Contains("8080/tcp") && Contains("c2") && Contains("net1"));
  const Lines rules = net.rules(4);
  const auto fails = [&] {
    PluginCall call = net.call("ADD", ours);
    call.stdout_path = "/dev/full";
    CHECK(run_plugin_binary(call).status != 0);
    CHECK(net.rules(4) == rules);
  };
  net.config["conflictPolicy"] = "replace";
  fails();
  net.config["backend"] = "nftables";
  fails();
  net.config["backend"] = "iptables";
  net.config.erase("conflictPolicy");
  // Once its namespace is gone it has no claim any more.
  theirs.container->run("ip addr flush dev eth0");
  fails();
  net.must("ADD", ours);
  CHECK(net.check(ours) == "");
  for (const std::string& line : net.rules(4)) CHECK_THAT(line, !Contains("10.1.2.2:"));
}

TEST_CASE("rules in the reference suite's native tables are checked and deleted",
          "[portmap][nftables]") {
  PortmapNetwork net;
  MappedPod& pod = net.add_container(2);
  net.map({PortmapNetwork::mapping(8080),
           PortmapNetwork::mapping(8081, 81, "udp", {{"hostIP", "192.0.2.1"}})});
  pod.result["ips"].erase(1);
  const Snapshot before = net.snapshot();
  const bool old_layout = GENERATE(false, true);
  net.host.run("nft add table ip cni_hostport");
  const auto nft = [&](const std::string& command) {
    run_checked({.argv = {"nft", command}, .netns = net.host.path()});
  };
  for (const char* chain : {"hostports", "hostip_hostports"}) {
    nft(std::string("add chain ip cni_hostport ") + chain);
  }
  nft("add chain ip cni_hostport masquerading { type nat hook postrouting priority 100 ; }");
  nft("add chain ip cni_hostport prerouting { type nat hook prerouting priority -100 ; }");
  const Snapshot empty = net.snapshot();
  const std::string by_address = old_layout ? "hostip_hostports" : "hostports";
  nft("add rule ip cni_hostport hostports tcp dport 8080 dnat to 10.1.2.2:80 comment c2");
  nft("add rule ip cni_hostport " + by_address +
      " ip daddr 192.0.2.1 udp dport 8081 dnat to 10.1.2.2:81 comment c2");
  nft("add rule ip cni_hostport masquerading ip saddr 10.1.2.2 ip daddr 10.1.2.2 masquerade "
      "comment c2");
  nft("add rule ip cni_hostport masquerading ip saddr 127.0.0.1 ip daddr 10.1.2.2 masquerade "
      "comment c2");
  nft("add rule ip cni_hostport hostports tcp dport 8090 dnat to 10.9.9.9:80 comment c2");
  nft("add rule ip cni_hostport hostports tcp dport 8091 dnat to 10.1.2.9:80 comment c9");
  net.host.run("sysctl -qw net.ipv4.conf.br0.route_localnet=1");
  CHECK(net.check(pod) == "");
  net.map({PortmapNetwork::mapping(8080), PortmapNetwork::mapping(8082)});
  CHECK_THAT(net.check(pod), Contains("8082/tcp"));

  // Another network of the same container keeps its rules as long as one can tell.
  net.must("DEL", pod);
  const std::string left = net.host.run("nft list table ip cni_hostport");
  CHECK_THAT(left, !Contains("10.1.2.2") && Contains("10.9.9.9") && Contains("10.1.2.9"));
  pod.result = nullptr;
  net.must("DEL", pod);
  CHECK_THAT(net.host.run("nft list table ip cni_hostport"),
             !Contains("10.9.9.9") && Contains("10.1.2.9"));
}

TEST_CASE("a port in the reference suite's native tables is taken from the dead alone",
          "[portmap][nftables][bridge][veth]") {
  PortmapNetwork net;
  const MappedPod& theirs = net.add_container(2, true);
  const MappedPod& ours = net.add_container(3, true);
  net.map({PortmapNetwork::mapping(8080)});
  const auto nft = [&](const std::string& command) {
    run_checked({.argv = {"nft", command}, .netns = net.host.path()});
  };
  nft("add table ip cni_hostport");
  nft("add chain ip cni_hostport hostports");
  nft("add rule ip cni_hostport hostports tcp dport 8080 dnat to 10.1.2.2:80 comment c2");
  const Snapshot before = net.snapshot();
  const PluginOutcome refused = net.run("ADD", ours);
  CHECK(refused.code() == 11);
  CHECK_THAT(refused.message(), Contains("8080/tcp") && Contains("c2"));
  CHECK(difference(before, net.snapshot()) == "");
  theirs.container->run("ip addr flush dev eth0");
  PluginCall fails = net.call("ADD", ours);
  fails.stdout_path = "/dev/full";
  CHECK(run_plugin_binary(fails).status != 0);
  CHECK(difference(before, net.snapshot()) == "");
  net.must("ADD", ours);
  CHECK_THAT(net.host.run("nft list table ip cni_hostport"), !Contains("10.1.2.2"));
}

TEST_CASE("ten thousand ports come and go in one transaction",
          "[portmap][iptables-nft][iptables-legacy][many]") {
  PortmapNetwork net(
      GENERATE(PortmapStore::kNative, PortmapStore::kDialect, PortmapStore::kLegacy));
  MappedPod& pod = net.add_container(2);
  pod.result["ips"].erase(1);
  const unsigned step = GENERATE(0U, 7U);
  std::vector<Json> mappings;
  for (unsigned port = 20000; port < 30000; ++port) {
    mappings.push_back(PortmapNetwork::mapping(port, port + step));
  }
  net.map(mappings);
  const auto timed = [&](const char* verb) {
    const auto start = std::chrono::steady_clock::now();
    net.must(verb, pod);
    const std::chrono::duration<double, std::milli> took = std::chrono::steady_clock::now() - start;
    std::cout << "portmap, " << name_of(net.store) << ", 10000 ports"
              << (step == 0 ? "" : ", shifted") << ": " << verb << " "
              << static_cast<int>(took.count()) << " ms\n";
  };
  timed("ADD");
  timed("CHECK");
  timed("DEL");
}

namespace {

// What strace(1) says of these system calls of a call that succeeds.
std::string trace_of(const PortmapNetwork& net, const std::string& verb, const MappedPod& pod,
                     const std::string& system_calls) {
  const TempDirectory directory;
  PluginCall call = net.call(verb, pod);
  directory.write("portmap",
                  "#!/bin/sh\nexec /usr/bin/strace -f -qq -e trace=" + system_calls + " -o " +
                      (directory / verb) + " " + plugin_directory() + "/portmap\n",
                  0755);
  call.plugin = directory / "portmap";
  const PluginOutcome outcome = run_plugin_binary(call);
  INFO(outcome.text());
  CHECK(outcome.status == 0);
  return read_whole_file(directory / verb);
}

}  // namespace

// Between its look and that, an ADD would have made one, with what it has in it.
TEST_CASE("what finds no table deletes none", "[portmap][traced]") {
  PortmapNetwork net;
  MappedPod& pod = net.add_container(2);
  net.map({PortmapNetwork::mapping(8080)});
  for (const char* verb : {"DEL", "GC"}) {
    CHECK_THAT(trace_of(net, verb, pod, "sendto"), !Contains("NFT_MSG_DELTABLE"));
  }
  net.must("ADD", pod);
  CHECK_THAT(trace_of(net, "DEL", pod, "sendto"), Contains("NFT_MSG_DELTABLE"));
}

TEST_CASE("no program is run", "[portmap][iptables-nft][iptables-legacy][traced]") {
  PortmapNetwork net(
      GENERATE(PortmapStore::kNative, PortmapStore::kDialect, PortmapStore::kLegacy));
  MappedPod& pod = net.add_container(2);
  net.map({PortmapNetwork::mapping(8080), PortmapNetwork::mapping(8053, 53, "udp")});
  for (const char* verb : {"ADD", "CHECK", "DEL", "GC", "STATUS"}) {
    const std::string trace = trace_of(net, verb, pod, "execve");
    CHECK(std::count(trace.begin(), trace.end(), '\n') == 1);
    CHECK_THAT(trace, Contains("/portmap"));
  }
}

TEST_CASE("who is the last on a bridge does not look into the chains of others",
          "[portmap][iptables-nft][traced]") {
  PortmapNetwork net(PortmapStore::kDialect);
  const auto dumps = [&] {
    for (const char* command :
         {"ip link add br1 type bridge", "ip addr add 10.9.0.1/24 dev br1", "ip link set br1 up"}) {
      net.host.run(command);
    }
    MappedPod& last = net.add_container(200);
    last.result["ips"][0]["address"] = "10.9.0.200/24";
    net.map({PortmapNetwork::mapping(9000)});
    net.must("ADD", last);
    CHECK(net.host.run("cat /proc/sys/net/ipv4/conf/br1/route_localnet") == "1\n");
    const std::string trace = trace_of(net, "DEL", last, "sendto");
    CHECK(net.host.run("cat /proc/sys/net/ipv4/conf/br1/route_localnet") == "0\n");
    net.host.run("ip link delete br1");
    std::size_t count = 0;
    const std::string dump = "NFT_MSG_GETRULE";
    for (std::size_t at = trace.find(dump); at != std::string::npos;
         at = trace.find(dump, at + 1)) {
      ++count;
    }
    return count;
  };
  const auto add = [&](unsigned number) {
    net.map({PortmapNetwork::mapping(8000 + number)});
    net.must("ADD", net.add_container(number));
  };
  add(2);
  const std::size_t beside_one = dumps();
  for (unsigned number = 3; number < 9; ++number) add(number);
  CHECK(beside_one > 0);
  CHECK(dumps() == beside_one);
}
