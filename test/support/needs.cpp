#include "support/needs.h"

#include <array>

#include "support/sandbox.h"
#include "support/two_namespaces.h"

namespace cni::test {
namespace {

struct Need {
  const char* tag;
  // Shell commands; the need is met if they succeed in a fresh network namespace.
  const char* probe;
};

// To give tests a new need, add a line.
constexpr std::array kNeeds = {
    Need{"veth", "ip link add v0 type veth peer name v1"},
    Need{"bridge", "ip link add b0 type bridge"},
    Need{"bridge-vlan",
         "ip link add b0 type bridge vlan_filtering 1 && bridge vlan add dev b0 vid 5 self"},
    Need{"vlan",
         "ip link add v0 type veth peer name v1 && ip link add link v0 name v0.5 type vlan id 5"},
    Need{"macvlan",
         "ip link add v0 type veth peer name v1 && ip link add link v0 name m0 type macvlan"},
    Need{"ipvlan",
         "ip link add v0 type veth peer name v1 && ip link add link v0 name i0 type ipvlan"},
    Need{"dummy", "ip link add d0 type dummy"},
    Need{"vrf", "ip link add r0 type vrf table 10"},
    Need{"tap", "ip tuntap add t0 mode tap"},
    Need{"ifb", "ip link add i0 type ifb"},
    Need{"tbf", "tc qdisc add dev lo root tbf rate 1mbit burst 10k latency 10ms"},
    Need{"ipv6", "test -d /proc/sys/net/ipv6"},
    Need{"nftables",
         "nft add table inet t && "
         "nft 'add chain inet t c { type nat hook postrouting priority 100; }'"},
    // nf_tables for bridges only: what a kernel has that was built without NF_TABLES_IPV4.
    Need{"nftables-without-ip", "nft add table bridge t && ! nft add table ip t"},
    Need{"iptables-legacy",
         "iptables-legacy -t nat -S >/dev/null && ip6tables-legacy -t nat -S >/dev/null"},
    Need{"iptables-nft", "iptables-nft -t nat -A POSTROUTING -m comment --comment x -j MASQUERADE"},
    Need{"sctp",
         "python3 -c 'import socket as s; s.socket(s.AF_INET, s.SOCK_STREAM, s.IPPROTO_SCTP)' "
         "2>/dev/null || { echo 'no such sockets' >&2; false; }"},
    Need{"conntrack", "test -e /proc/sys/net/netfilter/nf_conntrack_max"},
    // Not a user namespace: its first user ID is the first one of the machine, all are mapped.
    Need{"real-root", "grep -q '^ *0 *0 *4294967295$' /proc/self/uid_map"},
    // The Go suite's plugins, where Debian puts them.
    Need{"reference-plugins", "test -x /usr/lib/cni/bridge && test -x /usr/lib/cni/portmap"},
    // The kernel takes no new neighbours: a setting of the whole machine, see test/run.
    Need{"no-neighbours",
         "ip link add v0 type veth peer name v1 && ip link set v0 up && "
         "if ip neighbour add 192.0.2.1 lladdr 02:00:00:00:00:01 dev v0 nud reachable 2>/dev/null; "
         "then echo 'new neighbours are taken' >&2; false; fi"},
    // A need that no kernel meets, for the test of this mechanism.
    Need{"impossible", "false"},
};

std::string first_line(const std::string& text) {
  return text.substr(0, text.find('\n'));
}

}  // namespace

std::map<std::string, std::string> find_lacks(const std::set<std::string>& tags) {
  std::map<std::string, std::string> lacks;
  for (const Need& need : kNeeds) {
    if (!tags.contains(need.tag)) continue;
    const Namespace scratch("probe");
    const Outcome outcome = run({.argv = {"sh", "-c", need.probe}, .netns = scratch.path()});
    if (outcome.status == 0) continue;
    const std::string said = first_line(outcome.err);
    lacks[need.tag] = said.empty() ? "is not there" : said;
  }
  return lacks;
}

}  // namespace cni::test
