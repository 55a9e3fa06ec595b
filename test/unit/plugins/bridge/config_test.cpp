#include "bridge/config.h"

#include <catch2/catch.hpp>
#include <string>

#include "json/reader.h"
#include "protocol/error.h"

using namespace cni::bridge;  // NOLINT(google-build-using-namespace)
using cni::Code;
using cni::Error;
using cni::netlink::PortVlan;

namespace {

cni::Request request(const std::string& keys, const std::string& args = "") {
  const std::string text =
      R"({"cniVersion": "1.1.0", "name": "net")" + (keys.empty() ? "" : ", " + keys) + "}";
  return {.command = cni::Command::kAdd,
          .environment = {.command = "ADD",
                          .container_id = "c",
                          .netns = "",
                          .ifname = "eth0",
                          .args = args,
                          .path = "",
                          .netns_override = false},
          .conf = cni::NetConf::parse(text),
          .version = cni::Version::k1_1_0,
          .netns = std::nullopt};
}

Config parse(const std::string& keys, const std::string& args = "") {
  return parse_config(request(keys, args));
}

struct Refusal {
  Code code;
  std::string text;  // message and details
};

// What the runtime is told; "" if the configuration is accepted.
Refusal refusal(const std::string& keys, const std::string& args = "") {
  try {
    parse(keys, args);
    return {.code = Code::kInternal, .text = ""};
  } catch (...) {
    const Error error = cni::to_error(std::current_exception());
    return {.code = error.code(), .text = std::string(error.what()) + " | " + error.details()};
  }
}

void check_refused(const std::string& keys, const std::string& text, const std::string& details) {
  INFO(keys);
  const Refusal refused = refusal(keys);
  CHECK(refused.code == Code::kInvalidConfig);
  CHECK_THAT(refused.text, Catch::Contains(text) && Catch::Contains(details));
}

}  // namespace

TEST_CASE("what a bridge configuration leaves out", "[bridge]") {
  const Config config = parse("");
  CHECK(config.bridge == "cni0");
  CHECK_FALSE(config.is_gateway);
  CHECK_FALSE(config.is_default_gateway);
  CHECK_FALSE(config.force_address);
  CHECK_FALSE(config.mtu.number);
  CHECK_FALSE(config.mtu.automatic);
  CHECK_FALSE(config.hairpin);
  CHECK_FALSE(config.promiscuous);
  CHECK_FALSE(config.port_isolation);
  CHECK_FALSE(config.detect_duplicates);
  CHECK(config.container_interface);
  CHECK(config.vlans.empty());
  CHECK_FALSE(config.preserve_default_vlan);
  CHECK(config.access_vlan == 0);
  CHECK_FALSE(config.vlan_filtering);
  CHECK_FALSE(config.container_mac);
  CHECK_FALSE(config.dns);
}

TEST_CASE("isDefaultGateway makes a gateway", "[bridge]") {
  CHECK(parse(R"("isDefaultGateway": true)").is_gateway);
  CHECK(parse(R"("isGateway": true)").is_gateway);
  CHECK_FALSE(parse(R"("isGateway": true)").is_default_gateway);
}

TEST_CASE("names of a bridge that no link could have", "[bridge]") {
  for (const char* name : {"", ".", "..", "all", "default", "lo", "a/b", "a:b", "a b", "a%d",
                           "sixteen-letters-", "tab\\t", "nul\\u0000", "del\\u007f"}) {
    check_refused(std::string(R"("bridge": ")") + name + '"', "failed to create bridge",
                  "key \"bridge\"");
  }
  check_refused(R"("bridge": 5)", "", "key \"bridge\" is 5");
  for (const char* name : {"b", "fifteen-letters", "br-0.5_x", "\xc3\xa4"}) {
    CHECK(parse(std::string(R"("bridge": ")") + name + '"').bridge == name);
  }
}

TEST_CASE("the MTU is a number in its limits or \"auto\"", "[bridge]") {
  CHECK(parse(R"("mtu": 1400)").mtu.number == 1400);
  CHECK(parse(R"("mtu": 65535)").mtu.number == 65535);
  CHECK_FALSE(parse(R"("mtu": 0)").mtu.number);
  const auto automatic = parse(R"("mtu": "auto", "mtuOverhead": 50)").mtu;
  CHECK_FALSE(automatic.number);
  CHECK(automatic.automatic);
  CHECK(automatic.overhead == 50);
  check_refused(R"("mtu": -1)", "", "key \"mtu\" is -1");
  check_refused(R"("mtu": 65536)", "", "key \"mtu\" is 65536");
  check_refused(R"("mtu": 70000)", "", "key \"mtu\" is 70000");
  check_refused(R"("mtu": 1e3)", "", "key \"mtu\"");
  check_refused(R"("mtu": 1400.5)", "", "key \"mtu\"");
  check_refused(R"("mtu": "x")", "", "key \"mtu\" is \"x\"");
  check_refused(R"("mtu": "1400")", "", "key \"mtu\" is \"1400\"");
  check_refused(R"("mtuOverhead": -1)", "", "key \"mtuOverhead\" is -1");
}

TEST_CASE("hairpin and promiscuous mode exclude each other", "[bridge]") {
  CHECK(parse(R"("hairpinMode": true)").hairpin);
  CHECK(parse(R"("promiscMode": true)").promiscuous);
  check_refused(R"("hairpinMode": true, "promiscMode": true)",
                "cannot set hairpin mode and promiscuous mode at the same time", "");
  check_refused(R"("hairpinMode": "yes")", "", "key \"hairpinMode\" is \"yes\"");
}

TEST_CASE("IPAM needs the container's interface", "[bridge]") {
  CHECK_FALSE(parse(R"("disableContainerInterface": true)").container_interface);
  check_refused(R"("disableContainerInterface": true, "ipam": {"type": "x"})",
                "cannot use IPAM when DisableContainerInterface flag is set", "");
}

TEST_CASE("the VLAN is one that 802.1Q has", "[bridge]") {
  for (const char* vlan : {"-1", "4095", "70000", "99999999999"}) {
    check_refused(std::string(R"("vlan": )") + vlan,
                  std::string("invalid VLAN ID ") + vlan + " (must be between 0 and 4094)",
                  std::string("key \"vlan\" is ") + vlan);
  }
  check_refused(R"("vlan": "5")", "", "key \"vlan\" is \"5\"");
  CHECK_FALSE(parse(R"("vlan": 0)").vlan_filtering);
  const Config config = parse(R"("vlan": 4094)");
  CHECK(config.vlan_filtering);
  CHECK(config.access_vlan == 4094);
  CHECK(config.vlans == std::vector<PortVlan>{{.id = 4094, .pvid = true, .untagged = true}});
}

TEST_CASE("what is wrong with a trunk", "[bridge]") {
  const auto check = [](const std::string& elements, const std::string& text) {
    check_refused(R"("vlanTrunk": [)" + elements + "]", text, "vlanTrunk[");
  };
  check(R"({"minID": 0, "maxID": 5})", "incorrect trunk minID parameter");
  check(R"({"minID": 4095, "maxID": 5})", "incorrect trunk minID parameter");
  check(R"({"minID": 1, "maxID": 4095})", "incorrect trunk maxID parameter");
  check(R"({"minID": 1, "maxID": -1})", "incorrect trunk maxID parameter");
  check(R"({"minID": 6, "maxID": 5})", "minID is greater than maxID in trunk parameter");
  check(R"({"maxID": 5})", "minID and maxID should be configured simultaneously, minID is missing");
  check(R"({"minID": 5})", "minID and maxID should be configured simultaneously, maxID is missing");
  check(R"({"id": 0})", "incorrect trunk id parameter");
  check(R"({"id": 4095})", "incorrect trunk id parameter");
  check("null", "null");
  check(R"({"id": 7}, {"id": "8"})", "");
  check("5", "");
}

TEST_CASE("a trunk is a set of VLANs with a native one", "[bridge]") {
  using Vlans = std::vector<PortVlan>;
  const PortVlan native{.id = 1, .pvid = true, .untagged = true};
  CHECK(parse(R"("vlanTrunk": [{"minID": 5, "maxID": 7}, {"id": 6}, {"id": 3}])").vlans ==
        Vlans{native, {.id = 3}, {.id = 5}, {.id = 6}, {.id = 7}});
  CHECK(parse(R"("vlanTrunk": [{"minID": 5, "maxID": 5, "id": 9}])").vlans ==
        Vlans{native, {.id = 5}, {.id = 9}});
  CHECK(parse(R"("vlanTrunk": [{"id": 3}], "vlan": 8)").vlans ==
        Vlans{{.id = 3}, {.id = 8, .pvid = true, .untagged = true}});
  CHECK(parse(R"("vlanTrunk": [{"id": 8}], "vlan": 8)").vlans ==
        Vlans{{.id = 8, .pvid = true, .untagged = true}});
  CHECK(parse(R"("vlanTrunk": [{"minID": 1, "maxID": 4094}])").vlans.size() == 4094);

  const Config empty = parse(R"("vlanTrunk": [{}])");
  CHECK(empty.vlans.empty());
  CHECK(empty.vlan_filtering);
  CHECK(parse(R"("vlanTrunk": [])").vlan_filtering);
  CHECK_FALSE(parse(R"("vlanTrunk": null)").vlan_filtering);
  CHECK(parse(R"("vlanTrunk": [{"id": 3}], "preserveDefaultVlan": true)").preserve_default_vlan);
}

TEST_CASE("vlanMode says what vlan and vlanTrunk have to be", "[bridge]") {
  const std::string vlan = R"("vlan": 8)";
  const std::string trunk = R"("vlanTrunk": [{"id": 3}])";
  const auto mode = [](const std::string& name) { return R"("vlanMode": ")" + name + '"'; };
  const std::string comma = ", ";

  CHECK(parse(mode("access") + comma + vlan).vlans ==
        std::vector<PortVlan>{{.id = 8, .pvid = true, .untagged = true}});
  CHECK(parse(mode("hybrid") + comma + vlan + comma + trunk).vlans ==
        std::vector<PortVlan>{{.id = 3}, {.id = 8, .pvid = true, .untagged = true}});
  // Unlike a trunk without a mode this one has no native VLAN.
  CHECK(parse(mode("trunk") + comma + trunk).vlans == std::vector<PortVlan>{{.id = 3}});

  check_refused(mode("access"), "needs the key \"vlan\"", "key \"vlanMode\" is \"access\"");
  check_refused(mode("access") + comma + vlan + comma + trunk,
                "does not go with the key \"vlanTrunk\"", "\"access\"");
  check_refused(mode("trunk"), "needs the key \"vlanTrunk\"", "\"trunk\"");
  check_refused(mode("trunk") + R"(, "vlanTrunk": [])", "needs the key \"vlanTrunk\"", "\"trunk\"");
  check_refused(mode("trunk") + comma + vlan + comma + trunk, "does not go with the key \"vlan\"",
                "\"trunk\"");
  check_refused(mode("hybrid") + comma + vlan, "needs the key \"vlanTrunk\"", "\"hybrid\"");
  check_refused(mode("hybrid") + comma + trunk, "needs the key \"vlan\"", "\"hybrid\"");
  check_refused(mode("Access") + comma + vlan, "unknown vlanMode \"Access\"",
                "access, trunk or hybrid");
}

TEST_CASE("the gateway device of a VLAN needs a name that fits", "[bridge]") {
  check_refused(R"("bridge": "twelve-bytes", "vlan": 100, "isGateway": true)",
                "longer than 15 bytes", "twelve-bytes");
  CHECK(refusal(R"("bridge": "twelve-bytes", "vlan": 10, "isGateway": true)").text.empty());
  CHECK(refusal(R"("bridge": "twelve-bytes", "vlan": 100)").text.empty());
}

TEST_CASE("the MAC: runtimeConfig before args.cni before CNI_ARGS", "[bridge]") {
  const auto mac = [](const Config& config) {
    return config.container_mac ? config.container_mac->text() : "";
  };
  const std::string runtime = R"("runtimeConfig": {"mac": "02:00:00:00:00:01"})";
  const std::string args = R"("args": {"cni": {"mac": "02:00:00:00:00:02"}})";
  const std::string variable = "MAC=02:00:00:00:00:03";
  CHECK(mac(parse(runtime + ", " + args, variable)) == "02:00:00:00:00:01");
  CHECK(mac(parse(args, variable)) == "02:00:00:00:00:02");
  CHECK(mac(parse("", variable)) == "02:00:00:00:00:03");
  CHECK(mac(parse(R"("runtimeConfig": {"mac": ""})", variable)) == "02:00:00:00:00:03");
  CHECK(mac(parse("")) == "");
  // Another one means a key of the plugin.
  CHECK(mac(parse(R"("mac": "02:00:00:00:00:04")")) == "");

  for (const std::string bad :
       {"zz", "01:00:00:00:00:01", "00:00:00:00:00:00", "02:00:00:00:00", "02:00:00:00:00:01:02"}) {
    check_refused(R"("runtimeConfig": {"mac": ")" + bad + "\"}", "invalid MAC address",
                  "key \"runtimeConfig.mac\"");
    check_refused(R"("args": {"cni": {"mac": ")" + bad + "\"}}", "invalid MAC address",
                  "key \"args.cni.mac\"");
    const Refusal refused = refusal("", "MAC=" + bad);
    CHECK(refused.code == Code::kInvalidConfig);
    CHECK_THAT(refused.text, Catch::Contains("MAC") && Catch::Contains(bad));
  }
}

TEST_CASE("CNI_ARGS of others", "[bridge]") {
  CHECK(refusal("", "K8S_POD_NAME=p").code == Code::kInvalidConfig);
  CHECK_THAT(refusal("", "K8S_POD_NAME=p").text, Catch::Contains("K8S_POD_NAME"));
  CHECK(refusal("", "IgnoreUnknown=1;K8S_POD_NAME=p").text.empty());
  CHECK(refusal("", "rubbish").code == Code::kInvalidConfig);
}

TEST_CASE("DNS of the configuration counts if one of its keys is there", "[bridge]") {
  CHECK_FALSE(parse(R"("dns": {})").dns);
  CHECK_FALSE(parse(R"("dns": {"domain": ""})").dns);
  CHECK(parse(R"("dns": {"domain": "d"})").dns->domain == "d");
  CHECK(parse(R"("dns": {"nameservers": []})").dns);
  CHECK(parse(R"("dns": {"search": ["b", "a"]})").dns->search ==
        std::vector<std::string>{"b", "a"});
}

TEST_CASE("the links on which DEL forgets neighbours", "[bridge]") {
  using Names = std::vector<std::string>;
  CHECK(parse_gateway_links_for_cleanup(request("")) == Names{"cni0"});
  CHECK(parse_gateway_links_for_cleanup(request(R"("bridge": "b", "vlan": 5)")) ==
        Names{"b", "b.5"});
  CHECK(parse_gateway_links_for_cleanup(request(R"("bridge": "b", "vlan": 5000)")) == Names{"b"});
  CHECK(parse_gateway_links_for_cleanup(request(R"("bridge": "a/b")")).empty());
}
