// What STATUS and GC of bridge look at, containers that want to harm the host, and bridges of the
// reference suite.
#include <catch2/catch.hpp>

#include "plugin/bridge_network.h"

using Catch::Contains;
using namespace cni::test;  // NOLINT(google-build-using-namespace)

TEST_CASE("STATUS of bridge says when the name of the bridge is taken", "[bridge][status]") {
  BridgeNetwork net;
  net.host.run("ip link add br0 type veth peer name other");
  const PluginOutcome outcome = net.status();
  INFO(outcome.text());
  CHECK(outcome.code() == 50);
  CHECK_THAT(outcome.message(), Contains("\"br0\" already exists but is not a bridge"));
}

TEST_CASE("GC leaves the bridge", "[bridge][gc]") {
  BridgeNetwork net;
  const Attached one = net.add("c1");
  net.config["isGateway"] = false;
  Attached other{.container = one.container, .id = "c1", .ifname = "net1"};
  net.give({{"ips", {{{"address", "10.1.2.66/24"}}}}});
  net.add(other);
  CHECK(net.gc(Json::array()).status == 0);
  CHECK_FALSE(net.host.has_link(port_name(one.result)));
  CHECK_FALSE(net.host.has_link(port_name(other.result)));
  CHECK(net.host.has_link("br0"));
}

TEST_CASE("what the container sends changes no address or route of the host", "[bridge][hostile]") {
  BridgeNetwork net;
  // Only IPv4 is forwarded, so that the host itself would listen to router advertisements.
  set_sysctl(net.host, "net/ipv6/conf/all/forwarding", "0");
  const Attached one = net.add("c1");
  const Snapshot before = Snapshot::take(net.host.path());
  // RFC 4861, section 4.2: a default router with a prefix for addresses (RFC 4862).
  one.container->in([] {
    const Outcome sent = run({.argv = {"python3", "-c", R"py(
import socket, struct, time
raw = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
raw.bind(("eth0", 0))
mac = raw.getsockname()[4]
source = bytes.fromhex("fe80000000000000") + bytes([mac[0] ^ 2]) + mac[1:3] + b"\xff\xfe" + mac[3:]
target = bytes.fromhex("ff020000000000000000000000000001")
prefix = bytes([3, 4, 64, 0xc0]) + struct.pack("!III", 86400, 14400, 0) + bytes.fromhex("fd00bad0000000000000000000000000")
body = bytes([64, 0]) + struct.pack("!HII", 1800, 0, 0) + prefix
def checksum(data):
    total = sum(struct.unpack("!%dH" % (len(data) // 2), data))
    while total >> 16: total = (total & 0xffff) + (total >> 16)
    return ~total & 0xffff
head = bytes([134, 0])
pseudo = source + target + struct.pack("!II", len(body) + 4, 58)
message = head + struct.pack("!H", checksum(pseudo + head + b"\0\0" + body)) + body
packet = struct.pack("!IHBB", 0x60000000, len(message), 58, 255) + source + target + message
for _ in range(3):
    raw.send(bytes.fromhex("333300000001") + mac + b"\x86\xdd" + packet)
)py"}});
    INFO(sent.text());
    REQUIRE(sent.status == 0);
  });
  // An answer to this comes after the advertisements were looked at.
  CHECK(ping(*one.container, "10.1.2.1"));
  CHECK(difference(before, Snapshot::take(net.host.path())) == "");
}

TEST_CASE("a bridge that the reference suite made is adopted", "[bridge][reference]") {
  BridgeNetwork net;
  net.config["cniVersion"] = "1.0.0";
  net.give({{"cniVersion", "1.0.0"}, {"ips", {{{"address", "10.1.2.5/24"}}}}});
  Attached theirs = net.attachment("c1");
  theirs.result = *net.run_reference("bridge", "ADD", theirs).json;
  net.give({{"cniVersion", "1.0.0"}, {"ips", {{{"address", "10.1.2.6/24"}}}}});
  const Attached ours = net.add("c2");
  CHECK(ping(*ours.container, "10.1.2.5"));
  net.check(ours);
  net.check(theirs);
}
