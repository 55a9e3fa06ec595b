// STATUS, GC, containers that resist their removal, and the reference suite on the same node.
#include <catch2/catch.hpp>

#include "plugin/bridge_network.h"

using Catch::Contains;
using namespace cni::test;  // NOLINT(google-build-using-namespace)

using Texts = std::vector<std::string>;

namespace {

PluginCall network_call(const BridgeNetwork& net, const std::string& verb,
                        const Json& more = Json::object()) {
  Json config = net.config;
  config.update(more);
  return {.plugin = "bridge",
          .verb = verb,
          .config = config.dump(),
          .path = net.directory.path(),
          .environment = {{"CNI_CONTAINERID", std::nullopt},
                          {"CNI_NETNS", std::nullopt},
                          {"CNI_IFNAME", std::nullopt}},
          .host = net.host.path()};
}

PluginOutcome gc(const BridgeNetwork& net, const Json& valid) {
  return run_plugin_binary(network_call(net, "GC", {{"cni.dev/valid-attachments", valid}}));
}

Json pair(const Attached& one) {
  return {{"containerID", one.id}, {"ifname", one.ifname}};
}

bool is_there(const BridgeNetwork& net, const Attached& one) {
  return net.host.has_link(port_name(one.result));
}

}  // namespace

TEST_CASE("STATUS is fine when ADD would work, and changes nothing", "[bridge][status]") {
  BridgeNetwork net;
  const Snapshot before = net.snapshot();
  const PluginOutcome outcome = run_plugin_binary(network_call(net, "STATUS"));
  INFO(outcome.text());
  CHECK(outcome.status == 0);
  CHECK(outcome.out.empty());
  CHECK(difference(before, net.snapshot()) == "");
  CHECK(net.take_ipam_verbs() == Texts{"STATUS"});
  CHECK(Json::parse(net.ipam.calls().at(0).input) == net.config);

  net.add("c1");
  CHECK(run_plugin_binary(network_call(net, "STATUS")).status == 0);
}

TEST_CASE("STATUS says why ADD would not work", "[bridge][status]") {
  BridgeNetwork net;
  int code = 50;
  std::string message;
  SECTION("IPAM says so") {
    net.ipam.reply("STATUS", {.out = R"({"code": 51, "msg": "no addresses left"})", .status = 1});
    code = 51;
    message = "no addresses left";
  }
  SECTION("IPAM is not installed") {
    run_checked({.argv = {"rm", net.ipam.path()}});
    code = 7;
    message = "fake-ipam";
  }
  SECTION("the name of the bridge is taken") {
    net.host.run("ip link add br0 type veth peer name other");
    message = "\"br0\" already exists but is not a bridge";
  }
  SECTION("the configuration is wrong") {
    net.config["mtu"] = -1;
    code = 7;
    message = "key \"mtu\" is -1";
  }
  SECTION("there is no way out to take the MTU from") {
    net.config["mtu"] = "auto";
    message = "default route";
  }
  const PluginOutcome outcome = run_plugin_binary(network_call(net, "STATUS"));
  INFO(outcome.text());
  CHECK(outcome.code() == code);
  CHECK_THAT(outcome.message(), Contains(message));
}

TEST_CASE("STATUS does not look at CNI_ARGS, which are of no attachment", "[bridge][status]") {
  BridgeNetwork net;
  PluginCall call = network_call(net, "STATUS");
  call.args = "rubbish";
  const PluginOutcome outcome = run_plugin_binary(call);
  INFO(outcome.text());
  CHECK(outcome.status == 0);
}

TEST_CASE("GC removes what is of no valid attachment, by pairs", "[bridge][gc]") {
  BridgeNetwork net;
  net.give_by_number();
  const Attached valid = net.add("c1");
  Attached stale_name{.container = valid.container, .id = "c1", .ifname = "net1"};
  net.config["isGateway"] = false;
  net.give({{"ips", {{{"address", "10.1.2.66/24"}}}}});
  net.add(stale_name);
  net.config["isGateway"] = true;
  net.give_by_number();
  const Attached stale = net.add("c10");
  net.config["name"] = "net2";
  const Attached other_network = net.add("c11");
  net.config["name"] = "net1";
  net.host.run("ip link add vethffffffff type veth peer name stranger");
  net.take_ipam_verbs();

  const PluginOutcome outcome = gc(net, Json::array({pair(valid)}));
  INFO(outcome.text());
  CHECK(outcome.status == 0);
  CHECK(outcome.out.empty());
  CHECK(is_there(net, valid));
  CHECK_FALSE(is_there(net, stale_name));
  CHECK_FALSE(is_there(net, stale));
  CHECK(is_there(net, other_network));
  CHECK(net.host.has_link("vethffffffff"));
  CHECK(net.run("CHECK", valid).status == 0);
  CHECK(ping(*valid.container, "10.1.2.1"));

  // IPAM has got the same request.
  CHECK(net.take_ipam_verbs() == Texts{"GC", "CHECK"});
  const auto calls = net.ipam.calls();
  Json expected = net.config;
  expected["cni.dev/valid-attachments"] = Json::array({pair(valid)});
  CHECK(Json::parse(calls.at(calls.size() - 2).input) == expected);

  const Snapshot once = net.snapshot();
  CHECK(gc(net, Json::array({pair(valid)})).status == 0);
  CHECK(difference(once, net.snapshot()) == "");
  net.del(stale);
}

TEST_CASE("GC tells the interfaces of one container apart", "[bridge][gc]") {
  BridgeNetwork net;
  const Attached stale = net.add("c1");
  net.give({{"ips", {{{"address", "10.1.2.6/24"}}}}});
  Attached valid{.container = stale.container, .id = "c1", .ifname = "net1"};
  net.add(valid);
  CHECK(gc(net, Json::array({pair(valid)})).status == 0);
  CHECK(is_there(net, valid));
  CHECK_FALSE(is_there(net, stale));
}

TEST_CASE("GC without a list has no valid attachments", "[bridge][gc]") {
  BridgeNetwork net;
  const Attached one = net.add("c1");
  SECTION("no key") {
    CHECK(run_plugin_binary(network_call(net, "GC")).status == 0);
  }
  SECTION("an empty list") {
    CHECK(gc(net, Json::array()).status == 0);
  }
  CHECK_FALSE(is_there(net, one));
  CHECK(net.host.has_link("br0"));
}

TEST_CASE("GC knows the older name of the list", "[bridge][gc]") {
  BridgeNetwork net;
  net.give_by_number();
  const Attached one = net.add("c1");
  const Attached two = net.add("c2");
  Json lists = {{"cni.dev/attachments", Json::array({pair(one)})}};
  SECTION("alone") {}
  SECTION("after the newer one") {
    lists = {{"cni.dev/attachments", Json::array({pair(two)})},
             {"cni.dev/valid-attachments", Json::array({pair(one)})}};
  }
  CHECK(run_plugin_binary(network_call(net, "GC", lists)).status == 0);
  CHECK(is_there(net, one));
  CHECK_FALSE(is_there(net, two));
}

TEST_CASE("GC needs no more than the name of the network", "[bridge][gc]") {
  BridgeNetwork net;
  const Attached one = net.add("c1");
  net.config = {{"cniVersion", "1.1.0"}, {"name", "net1"}, {"type", "bridge"}, {"mtu", "rubbish"}};
  CHECK(gc(net, Json::array()).status == 0);
  CHECK_FALSE(is_there(net, one));
}

TEST_CASE("GC goes on after an error and tells it", "[bridge][gc]") {
  BridgeNetwork net;
  const Attached one = net.add("c1");
  SECTION("of IPAM") {
    net.ipam.reply("GC", {.out = R"({"code": 100, "msg": "disk is gone"})", .status = 1});
    const PluginOutcome outcome = gc(net, Json::array());
    CHECK(outcome.code() == 100);
    CHECK(outcome.message() == "disk is gone");
    CHECK_FALSE(is_there(net, one));
  }
  SECTION("of the list") {
    const PluginOutcome outcome = gc(net, "rubbish");
    CHECK(outcome.status == 1);
    CHECK(is_there(net, one));
  }
}

// What a container with all rights in its own namespace can do about its interface.
TEST_CASE("DEL succeeds whatever the container has done", "[bridge][hostile]") {
  BridgeNetwork net;
  net.del(net.add("settle"));
  const Snapshot before = net.snapshot();
  const Attached one = net.add("c1");
  const Namespace& inside = *one.container;
  Namespace& other = net.host.add_container();
  // Kernels before 6.2 rename a link only while it is down.
  SECTION("renamed") {
    inside.run("ip link set eth0 down");
    inside.run("ip link set eth0 name evil");
  }
  SECTION("deleted") {
    inside.run("ip link delete eth0");
  }
  SECTION("renamed and replaced by a bridge") {
    inside.run("ip link set eth0 down");
    inside.run("ip link set eth0 name evil");
    inside.run("ip link add eth0 type bridge");
  }
  SECTION("renamed and replaced by another veth") {
    inside.run("ip link set eth0 down");
    inside.run("ip link set eth0 name evil");
    inside.run("ip link add eth0 type veth peer name eth1");
  }
  SECTION("deleted and replaced by a bridge") {
    inside.run("ip link delete eth0");
    inside.run("ip link add eth0 type bridge");
  }
  SECTION("its name made an alternative name of another link") {
    inside.run("ip link set eth0 down");
    inside.run("ip link set eth0 name evil");
    inside.run("ip link add b0 type bridge");
    inside.run("ip link property add dev b0 altname eth0");
  }
  SECTION("moved to another namespace") {
    inside.run("ip link set eth0 netns " + other.path());
  }
  SECTION("flushed and given other addresses") {
    inside.run("ip address flush dev eth0");
    inside.run("ip address add 10.1.2.1/24 dev eth0");
  }
  SECTION("put under a bridge of its own, with another alias") {
    inside.run("ip link add b0 type bridge");
    inside.run("ip link set eth0 master b0");
    inside.run("ip link set eth0 alias rubbish");
  }
  for (int round = 0; round < 2; ++round) net.del(one);
  CHECK(difference(before, net.snapshot()) == "");
  CHECK_FALSE(inside.has_link("evil"));
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

TEST_CASE("the reference suite takes over from us and we from it", "[bridge][reference]") {
  constexpr const char* kReference = "/usr/lib/cni/bridge";
  BridgeNetwork net;
  net.config["cniVersion"] = "1.0.0";
  net.give({{"cniVersion", "1.0.0"},
            {"ips", {{{"address", "10.1.2.5/24"}, {"gateway", "10.1.2.1"}}}},
            {"routes", {{{"dst", "0.0.0.0/0"}}}}});
  net.del(net.add("settle"));
  const Snapshot before = net.snapshot();
  Attached one = net.attachment("c1");
  const Snapshot container_before = Snapshot::take(one.container->path());
  const auto reference = [&](const std::string& verb) {
    PluginCall call = net.call(verb, one);
    call.plugin = kReference;
    PluginOutcome outcome = run_plugin_binary(call);
    INFO(outcome.text());
    REQUIRE(outcome.status == 0);
    return outcome;
  };
  SECTION("their ADD, our CHECK and DEL") {
    one.result = *reference("ADD").json;
    const PluginOutcome check = net.run("CHECK", one);
    INFO(check.text());
    CHECK(check.status == 0);
    net.del(one);
  }
  SECTION("our ADD, their CHECK and DEL") {
    net.add(one);
    reference("CHECK");
    reference("DEL");
  }
  CHECK(difference(before, net.snapshot()) == "");
  CHECK(difference(container_before, Snapshot::take(one.container->path())) == "");
}

TEST_CASE("a bridge that the reference suite made is adopted", "[bridge][reference]") {
  BridgeNetwork net;
  net.config["cniVersion"] = "1.0.0";
  net.give({{"cniVersion", "1.0.0"}, {"ips", {{{"address", "10.1.2.5/24"}}}}});
  Attached theirs = net.attachment("c1");
  PluginCall call = net.call("ADD", theirs);
  call.plugin = "/usr/lib/cni/bridge";
  const PluginOutcome added = run_plugin_binary(call);
  INFO(added.text());
  REQUIRE(added.status == 0);
  theirs.result = *added.json;
  net.give({{"cniVersion", "1.0.0"}, {"ips", {{{"address", "10.1.2.6/24"}}}}});
  const Attached ours = net.add("c2");
  CHECK(ping(*ours.container, "10.1.2.5"));
  for (const Attached* one : {&ours, &std::as_const(theirs)}) {
    const PluginOutcome check = net.run("CHECK", *one);
    INFO(check.text());
    CHECK(check.status == 0);
  }
}
