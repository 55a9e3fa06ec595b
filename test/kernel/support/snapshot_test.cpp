// A snapshot that misses a change lets every "nothing is left" pass: each kind of change is tried.
#include "support/snapshot.h"

#include <catch2/catch.hpp>

#include "support/sandbox.h"
#include "support/two_namespaces.h"

using cni::test::difference;
using cni::test::Host;
using cni::test::Snapshot;
using cni::test::TempDirectory;

namespace {

// The difference that a command makes.
std::string change(const Host& host, const std::string& command) {
  const Snapshot before = Snapshot::take(host.path());
  host.run(command);
  return difference(before, Snapshot::take(host.path()));
}

bool holds(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

}  // namespace

TEST_CASE("nothing changed, no difference", "[support]") {
  Host host;
  host.run("ip link add v0 type veth peer name v1");
  host.run("ip link set v0 up");
  host.run("ip link set v1 up");
  host.run("ip link add b0 type bridge");
  host.run("ip link set v0 master b0");
  host.run("ip link set b0 up");
  host.run("ip address add 10.1.2.1/24 dev b0");
  const Snapshot before = Snapshot::take(host.path());
  CHECK(difference(before, Snapshot::take(host.path())) == "");
  CHECK(before.sections().at("links").size() == 4);
}

TEST_CASE("what is made and deleted again is no difference", "[support]") {
  Host host;
  const Snapshot before = Snapshot::take(host.path());
  host.run("ip link add v0 type veth peer name v1");
  host.run("ip address add 10.1.2.1/24 dev v0");
  host.run("ip link set v0 up");
  CHECK(difference(before, Snapshot::take(host.path())) != "");
  host.run("ip link delete v0");
  CHECK(difference(before, Snapshot::take(host.path())) == "");
}

TEST_CASE("every kind of change in a namespace is seen", "[support]") {
  Host host;
  host.run("ip link add v0 type veth peer name v1");
  host.run("ip link add b0 type bridge");
  host.run("ip link set v0 up");
  host.run("ip link set v1 up");

  CHECK(holds(change(host, "ip link add v2 type veth peer name v3"), "+ v2 "));
  CHECK(holds(change(host, "ip link set v0 mtu 1400"), "links:"));
  CHECK(holds(change(host, "ip link set v0 address 02:00:00:00:00:07"), "links:"));
  CHECK(holds(change(host, "ip link set v0 alias pod"), "links:"));
  CHECK(holds(change(host, "ip link set v0 promisc on"), "links:"));
  CHECK(holds(change(host, "ip link set v0 master b0"), "links:"));
  CHECK(holds(change(host, "ip link set v0 type bridge_slave hairpin on"), "links:"));
  CHECK(holds(change(host, "ip link set v1 down"), "links:"));
  CHECK(holds(change(host, "ip address add 10.1.2.1/24 dev v0"), "addresses:"));
  CHECK(holds(change(host, "ip address add 2001:db8::1/64 dev v0 nodad"), "addresses:"));
  CHECK(holds(change(host, "ip route add 10.9.0.0/16 dev v0"), "routes:"));
  CHECK(holds(change(host, "ip route add 10.9.0.0/16 dev v0 table 77"), "routes:"));
  CHECK(holds(change(host, "ip -6 route add 2001:db8:9::/64 dev v0"), "routes:"));
  CHECK(holds(change(host, "ip route add blackhole 10.8.0.0/16"), "routes:"));
  CHECK(holds(change(host, "ip -6 route add local 2001:db8:8::/64 dev lo"), "routes:"));
  CHECK(holds(change(host, "ip neigh add 10.1.2.9 lladdr 02:00:00:00:00:09 dev v0 nud permanent"),
              "neighbours:"));
  CHECK(holds(change(host, "ip neigh add proxy 10.1.2.10 dev v0"), "neighbours:"));
  CHECK(holds(change(host, "ip rule add from 10.1.2.1 table 77"), "rules:"));
  CHECK(holds(change(host, "ip -6 rule add from 2001:db8::1 table 77"), "rules:"));
  CHECK(holds(change(host, "tc qdisc replace dev v0 root pfifo limit 7"), "qdiscs:"));
}

TEST_CASE("a changed sysctl is seen", "[support]") {
  Host host;
  CHECK(holds(change(host, "sysctl -w net.ipv4.ip_forward=1"), "+ ipv4/ip_forward = 1"));
  CHECK(holds(change(host, "sysctl -w net.ipv4.conf.lo.proxy_arp=1"),
              "+ ipv4/conf/lo/proxy_arp = 1"));
  CHECK(holds(change(host, "sysctl -w net.ipv6.conf.lo.accept_ra=0"),
              "+ ipv6/conf/lo/accept_ra = 0"));
  CHECK(holds(change(host, "sysctl -w net.ipv6.conf.all.disable_ipv6=1"),
              "+ ipv6/conf/all/disable_ipv6 = 1"));
}

TEST_CASE("a new nftables rule is seen, its counters are not", "[support][nftables]") {
  Host host;
  CHECK(holds(change(host, "nft add table ip t"), "nftables:"));
  CHECK(holds(change(host, "nft add chain ip t c { type filter hook output priority 0 ; }"),
              "nftables:"));
  CHECK(holds(change(host, "nft add rule ip t c counter accept"), "nftables:"));
  const Snapshot before = Snapshot::take(host.path());
  host.run("ping -c 1 -W 1 127.0.0.1");
  CHECK(difference(before, Snapshot::take(host.path())) == "");
}

TEST_CASE("a new iptables rule is seen, its counters are not", "[support][iptables-legacy]") {
  Host host;
  CHECK(holds(change(host, "iptables-legacy -t nat -A POSTROUTING -j ACCEPT"), "iptables:"));
  CHECK(holds(change(host, "ip6tables-legacy -A OUTPUT -j ACCEPT"), "iptables:"));
  host.run("iptables-legacy -A OUTPUT -j ACCEPT");
  const Snapshot before = Snapshot::take(host.path());
  host.run("ping -c 1 -W 1 127.0.0.1");
  CHECK(difference(before, Snapshot::take(host.path())) == "");
}

TEST_CASE("a vlan of a bridge port is seen", "[support][bridge-vlan]") {
  Host host;
  host.run("ip link add v0 type veth peer name v1");
  host.run("ip link add b0 type bridge vlan_filtering 1");
  host.run("ip link set v0 master b0");
  CHECK(holds(change(host, "bridge vlan add dev v0 vid 7"), "bridge vlans:"));
}

TEST_CASE("every kind of change to a file is seen", "[support]") {
  const TempDirectory directory;
  const std::vector<std::string> watched = {directory.path(), directory / "later"};
  const auto seen = [&](const std::string& command) {
    const Snapshot before = Snapshot::take("", watched);
    cni::test::run_checked({.argv = {"sh", "-c", command}, .directory = directory.path()});
    return holds(difference(before, Snapshot::take("", watched)), "files:");
  };
  CHECK(seen("echo one >f"));
  CHECK(seen("echo two >f"));  // the same length
  CHECK(seen("chmod 600 f"));
  CHECK(seen("mkdir d"));
  CHECK(seen("ln -s f l"));
  CHECK(seen("mkfifo p"));
  CHECK(seen("mv f d/f"));
  CHECK(seen("mkdir later"));
  CHECK_FALSE(seen("touch d/f"));
}
