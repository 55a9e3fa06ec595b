// VLANs: what comes through tagged and untagged, both ways.
#include <catch2/catch.hpp>
#include <optional>
#include <thread>

#include "plugin/bridge_network.h"
#include "support/needs.h"

using Catch::Contains;
using namespace cni::test;  // NOLINT(google-build-using-namespace)

using Texts = std::vector<std::string>;

namespace {

// "5 PVID Egress Untagged" and so on, as `bridge vlan` shows a port.
Texts vlans(const Namespace& where, const std::string& port) {
  Texts list;
  const Json shown = Json::parse(where.run("bridge -j vlan show dev " + port));
  for (const Json& entry : shown) {
    for (const Json& vlan : entry.at("vlans")) {
      std::string text = std::to_string(vlan.at("vlan").get<int>());
      if (vlan.contains("vlanEnd")) text += "-" + std::to_string(vlan["vlanEnd"].get<int>());
      for (const Json& flag : vlan.value("flags", Json::array()))
        text += " " + flag.get<std::string>();
      list.push_back(text);
    }
  }
  return list;
}

Texts port_vlans(const BridgeNetwork& net, const Attached& attached) {
  return vlans(net.host, port_name(attached.result));
}

// A container behind a trunk speaks in VLAN `id` as 10.1.2.<host>.
void speak_tagged(const Attached& attached, int id, int host) {
  const std::string device = "eth0." + std::to_string(id);
  const Namespace& inside = *attached.container;
  inside.run("ip link add link eth0 name " + device + " type vlan id " + std::to_string(id));
  inside.run("ip address add 10.1.2." + std::to_string(host) + "/24 dev " + device);
  inside.run("ip link set " + device + " up");
}

class VlanNetwork : public BridgeNetwork {
 public:
  VlanNetwork() { config["isGateway"] = false; }

  // A container in access VLAN `vlan` with the address 10.1.2.<host>.
  Attached add_access(const std::string& id, int vlan, int last) {
    const Json without = config;
    give({{"ips", {{{"address", "10.1.2." + std::to_string(last) + "/24"}}}}});
    config["vlan"] = vlan;
    Attached attached = add(id);
    config = without;
    return attached;
  }
};

}  // namespace

TEST_CASE("VLAN keys work or are refused, whatever the kernel can", "[bridge]") {
  BridgeNetwork net;
  net.config["vlan"] = 5;
  const Snapshot before = net.snapshot();
  const PluginOutcome outcome = net.run("ADD", net.attachment("c1"));
  INFO(outcome.text());
  PluginCall status = net.call("STATUS", net.attachment("c2"));
  if (find_lacks({"bridge-vlan"}).empty()) {
    CHECK(outcome.status == 0);
  } else {
    CHECK(outcome.code() == 999);
    CHECK_THAT(outcome.message(), Contains("cannot tell VLANs apart") && Contains("\"vlan\"") &&
                                      Contains("built without bridge VLAN filtering"));
    CHECK(difference(before, net.snapshot()) == "");
    net.host.run("ip link add br0 type bridge");
    CHECK(run_plugin_binary(status).code() == 50);
  }
}

TEST_CASE("containers in one access VLAN see each other only", "[bridge][bridge-vlan]") {
  VlanNetwork net;
  const Attached one = net.add_access("c1", 5, 11);
  const Attached two = net.add_access("c2", 5, 12);
  const Attached stranger = net.add_access("c3", 6, 13);
  CHECK(port_vlans(net, one) == Texts{"5 PVID Egress Untagged"});
  CHECK(port_vlans(net, stranger) == Texts{"6 PVID Egress Untagged"});
  CHECK(ping(*one.container, "10.1.2.12"));
  CHECK(ping(*two.container, "10.1.2.11"));
  CHECK_FALSE(ping(*one.container, "10.1.2.13"));
  CHECK_FALSE(ping(*stranger.container, "10.1.2.11"));
  // The host itself is in VLAN 1.
  net.host.run("ip address add 10.1.2.99/24 dev br0");
  CHECK_FALSE(ping(*one.container, "10.1.2.99"));
  // Nor was a device for a gateway made.
  CHECK_FALSE(net.host.has_link("br0.5"));
}

TEST_CASE("preserveDefaultVlan keeps the default VLAN beside", "[bridge][bridge-vlan]") {
  VlanNetwork net;
  net.config["preserveDefaultVlan"] = true;
  CHECK(port_vlans(net, net.add_access("c1", 5, 11)) ==
        Texts{"1 Egress Untagged", "5 PVID Egress Untagged"});
}

TEST_CASE("a trunk carries its VLANs tagged", "[bridge][bridge-vlan][vlan]") {
  VlanNetwork net;
  const Attached in_five = net.add_access("c1", 5, 11);
  const Attached in_six = net.add_access("c2", 6, 12);
  const Attached in_nine = net.add_access("c3", 9, 13);
  const Attached native = net.add_access("c4", 1, 14);

  net.config["vlanTrunk"] = {{{"minID", 5}, {"maxID", 6}}, {{"id", 7}}};
  net.give({{"ips", {{{"address", "10.1.2.40/24"}}}}});
  const Attached trunk = net.add("c9");
  CHECK(port_vlans(net, trunk) == Texts{"1 PVID Egress Untagged", "5", "6", "7"});
  CHECK(ping(*trunk.container, "10.1.2.14"));
  CHECK_FALSE(ping(*trunk.container, "10.1.2.11"));

  trunk.container->run("ip address flush dev eth0");
  speak_tagged(trunk, 5, 45);
  CHECK(ping(*trunk.container, "10.1.2.11"));
  CHECK(ping(*in_five.container, "10.1.2.45"));
  CHECK_FALSE(ping(*in_six.container, "10.1.2.45"));
  trunk.container->run("ip link delete eth0.5");
  speak_tagged(trunk, 6, 46);
  CHECK(ping(*in_six.container, "10.1.2.46"));
  trunk.container->run("ip link delete eth0.6");
  // Not in the trunk.
  speak_tagged(trunk, 9, 49);
  CHECK_FALSE(ping(*trunk.container, "10.1.2.13"));
  CHECK_FALSE(ping(*in_nine.container, "10.1.2.49"));
}

TEST_CASE("vlanMode trunk drops what has no tag", "[bridge][bridge-vlan][vlan]") {
  VlanNetwork net;
  const Attached in_five = net.add_access("c1", 5, 11);
  const Attached native = net.add_access("c2", 1, 12);
  net.config["vlanMode"] = "trunk";
  net.config["vlanTrunk"] = {{{"id", 5}}};
  net.give({{"ips", {{{"address", "10.1.2.40/24"}}}}});
  const Attached trunk = net.add("c9");
  CHECK(port_vlans(net, trunk) == Texts{"5"});
  CHECK_FALSE(ping(*trunk.container, "10.1.2.12"));
  CHECK_FALSE(ping(*trunk.container, "10.1.2.11"));
  trunk.container->run("ip address flush dev eth0");
  speak_tagged(trunk, 5, 45);
  CHECK(ping(*in_five.container, "10.1.2.45"));
}

TEST_CASE("vlanMode hybrid has tagged VLANs and one untagged", "[bridge][bridge-vlan][vlan]") {
  VlanNetwork net;
  const Attached in_five = net.add_access("c1", 5, 11);
  const Attached in_eight = net.add_access("c2", 8, 12);
  net.config["vlanMode"] = "hybrid";
  net.config["vlanTrunk"] = {{{"id", 5}}};
  const Attached hybrid = net.add_access("c9", 8, 40);
  CHECK(port_vlans(net, hybrid) == Texts{"5", "8 PVID Egress Untagged"});
  CHECK(ping(*hybrid.container, "10.1.2.12"));
  CHECK_FALSE(ping(*in_five.container, "10.1.2.40"));
  hybrid.container->run("ip address flush dev eth0");
  speak_tagged(hybrid, 5, 45);
  CHECK(ping(*in_five.container, "10.1.2.45"));
}

TEST_CASE("the gateway of a VLAN is a device of its own", "[bridge][bridge-vlan]") {
  VlanNetwork net;
  net.config["isGateway"] = true;
  set_sysctl(net.host, "net/ipv6/conf/all/forwarding", "0");
  const Attached one = net.add_access("c1", 5, 11);
  REQUIRE(one.result["interfaces"].size() == 4);
  CHECK(one.result["interfaces"][3]["name"] == "br0.5");
  CHECK(one.result["interfaces"][3]["mac"] == link(net.host, "br0.5")["address"]);
  CHECK(addresses(net.host, "br0.5") == Texts{"10.1.2.1/24"});
  CHECK(addresses(net.host, "br0").empty());
  CHECK(ping(*one.container, "10.1.2.1"));
  // The host would believe router advertisements of the container.
  CHECK(sysctl(net.host, "net/ipv6/conf/br0.5/accept_ra") == "0");
  const PluginOutcome check = net.run("CHECK", [&] {
    net.config["vlan"] = 5;
    return one;
  }());
  INFO(check.text());
  CHECK(check.status == 0);

  net.host.run("bridge vlan delete dev " + port_name(one.result) + " vid 5");
  net.host.run("bridge vlan add dev " + port_name(one.result) + " vid 5");
  CHECK(net.run("CHECK", one).message() ==
        "VLAN 5 (PVID, untagged) is missing on bridge port \"" + port_name(one.result) + "\"");
  CHECK_THAT(net.host.run("ip neighbour show dev br0.5"), Contains("10.1.2.11 "));
  net.del(one);
  CHECK_THAT(net.host.run("ip neighbour show dev br0.5"), !Contains("10.1.2.11 "));

  net.config.erase("vlan");
  const Attached two = net.add_access("c2", 5, 12);
  CHECK(ping(*two.container, "10.1.2.1"));
}

TEST_CASE("a failed first ADD takes the gateway of its VLAN away",
          "[bridge][bridge-vlan][rollback]") {
  VlanNetwork net;
  net.config["isGateway"] = true;
  std::optional<Attached> other;
  SECTION("with the bridge") {}
  SECTION("from a bridge that another VLAN uses") {
    other = net.add_access("c1", 6, 11);
  }
  SECTION("from a bridge that nobody uses") {
    net.del(net.add_access("c1", 6, 11));
  }
  SECTION("but not from others in the VLAN") {
    other = net.add_access("c1", 5, 11);
  }
  const Snapshot before = net.snapshot();
  net.config["vlan"] = 5;
  net.give({{"ips", {{{"address", "10.1.2.20/24"}}}},
            {"routes", {{{"dst", "10.9.0.0/16"}, {"gw", "10.200.0.1"}}}}});
  const PluginOutcome outcome = net.run("ADD", net.attachment("c2"));
  INFO(outcome.text());
  CHECK_THAT(outcome.message(), Contains("failed to add route"));
  CHECK(difference(before, net.snapshot()) == "");
  if (other) CHECK(ping(*other->container, "10.1.2.1"));
}

TEST_CASE("16 containers make the gateway of a VLAN together", "[bridge][bridge-vlan][race]") {
  VlanNetwork net;
  net.give_by_number();
  net.config["isGateway"] = true;
  net.config["vlan"] = 5;
  std::vector<Attached> attached;
  for (int number = 1; number <= 16; ++number) {
    attached.push_back(net.attachment("c" + std::to_string(number)));
  }
  std::vector<PluginOutcome> outcomes(attached.size());
  std::vector<std::thread> threads;
  for (std::size_t at = 0; at < attached.size(); ++at) {
    threads.emplace_back([&, at] { outcomes[at] = net.run("ADD", attached[at]); });
  }
  for (std::thread& thread : threads) thread.join();
  for (std::size_t at = 0; at < attached.size(); ++at) {
    INFO(outcomes[at].text());
    CHECK(outcomes[at].status == 0);
    CHECK(ping(*attached[at].container, "10.1.2.1"));
  }
}

TEST_CASE("VLANs on a bridge that was made without", "[bridge][bridge-vlan]") {
  VlanNetwork net;
  SECTION("by this plugin: it is switched on") {
    net.add("c1");
    const Attached one = net.add_access("c2", 5, 11);
    CHECK(port_vlans(net, one) == Texts{"5 PVID Egress Untagged"});
    CHECK(link(net.host, "br0")["linkinfo"]["info_data"]["vlan_filtering"] == 1);
  }
  SECTION("by somebody else: the error says what to do") {
    net.host.run("ip link add br0 type bridge");
    net.config["vlan"] = 5;
    const PluginOutcome outcome = net.run("ADD", net.attachment("c1"));
    CHECK(outcome.code() == 999);
    CHECK_THAT(outcome.message(), Contains("\"vlan\"") && Contains("\"br0\"") &&
                                      Contains("ip link set br0 type bridge vlan_filtering 1"));
    CHECK(net.run("STATUS", net.attachment("c1")).code() == 50);
    net.host.run("ip link set br0 type bridge vlan_filtering 1");
    net.add("c1");
  }
}
