#include "masquerade/config.h"

#include <catch2/catch.hpp>
#include <string>

#include "protocol/error.h"

using namespace cni::masquerade;  // NOLINT(google-build-using-namespace)
using cni::Code;
using cni::Error;
using cni::NetConf;
using cni::inet::Family;
using cni::inet::Network;
using cni::netfilter::Backend;

namespace {

NetConf conf(const std::string& keys) {
  return NetConf::parse(R"({"cniVersion": "1.1.0", "name": "net")" +
                        (keys.empty() ? "" : ", " + keys) + "}");
}

Config parse(const std::string& keys) {
  return parse_config(conf(keys));
}

std::optional<Config> parse_plugin_that_has_ip_masq(const std::string& keys) {
  return parse_ip_masq(conf(keys));
}

// What the runtime is told, message and details; "" if it is accepted.
template <typename Parse>
std::string refusal(const std::string& keys, const Parse& parse_keys) {
  try {
    parse_keys(conf(keys));
    return "";
  } catch (...) {
    const Error error = cni::to_error(std::current_exception());
    CHECK(error.code() == Code::kInvalidConfig);
    return std::string(error.what()) + " | " + error.details();
  }
}

Network network(const std::string& text) {
  return *Network::parse(text);
}

}  // namespace

TEST_CASE("without keys both families are masqueraded", "[masquerade]") {
  const Config config = parse("");
  CHECK(config.is_on(Family::kIpv4));
  CHECK(config.is_on(Family::kIpv6));
  CHECK(config.backend == Backend::kAuto);
  CHECK(config.skipped.empty());
  CHECK(config.only.empty());
  CHECK(config.out_interfaces.empty());
  CHECK_FALSE(config.snat_ipv4);
  CHECK_FALSE(config.fully_random);
  CHECK_FALSE(config.drop_invalid);
}

TEST_CASE("each family can be switched, under two names", "[masquerade]") {
  const auto families = [](const std::string& keys) {
    const Config config = parse(keys);
    return std::pair(config.is_on(Family::kIpv4), config.is_on(Family::kIpv6));
  };
  CHECK(families(R"("masquerade": true)") == std::pair(true, true));
  CHECK(families(R"("masquerade": false)") == std::pair(false, false));
  CHECK(families(R"("masquerade": {"ipv6": false})") == std::pair(true, false));
  CHECK(families(R"("masquerade": {"ipv4": false, "ipv6": true})") == std::pair(false, true));
  CHECK(families(R"("masquerade": {"v4": false})") == std::pair(false, true));
  CHECK(families(R"("masquerade": {"v6": false, "ipv4": true})") == std::pair(true, false));
  // Destinations of one family only leave nothing of the other.
  CHECK(families(R"("masqueradeCIDRs": ["192.0.2.0/24"])") == std::pair(true, false));
  CHECK(families(R"("masqueradeCIDRs": [])") == std::pair(true, true));
}

TEST_CASE("every key of the plugin is read", "[masquerade]") {
  const Config config = parse(R"(
    "nonMasqueradeCIDRs": ["10.1.2.3/8", "fd00::1/8"], "masqueradeCIDRs": ["0.0.0.0/0", "::/0"],
    "outInterfaces": ["eth0", "wan+"],
    "snat": {"ipv4": "192.0.2.1-192.0.2.9", "v6": "2001:db8::1", "persistent": true},
    "fullyRandom": false, "dropInvalid": true, "backend": "nftables", "aKeyOfTheFuture": {})");
  CHECK(config.skipped == std::vector{network("10.0.0.0/8"), network("fd00::/8")});
  CHECK(config.only == std::vector{network("0.0.0.0/0"), network("::/0")});
  CHECK(config.out_interfaces == std::vector<std::string>{"eth0", "wan+"});
  REQUIRE(config.snat_ipv4);
  CHECK(config.snat_ipv4->text() == "192.0.2.1-192.0.2.9");
  REQUIRE(config.snat_ipv6);
  CHECK(config.snat_ipv6->text() == "2001:db8::1");
  CHECK(config.snat_ipv6->place == R"(key "snat.v6" is "2001:db8::1")");
  CHECK(config.persistent);
  CHECK(config.fully_random == false);
  CHECK(config.drop_invalid == true);
  CHECK(config.backend == Backend::kNftables);
}

TEST_CASE("what cannot be used is refused by key and value", "[masquerade]") {
  const auto check = [](const std::string& keys, const std::string& place) {
    INFO(keys);
    CHECK_THAT(refusal(keys, parse_config), Catch::Contains(place));
  };
  check(R"("masquerade": "yes")", R"(key "masquerade" is "yes")");
  check(R"("masquerade": {"ipv4": 1})", R"(key "masquerade.ipv4" is 1)");
  check(R"("masquerade": {"ipv4": true, "v4": true})", R"(key "masquerade.v4" is true)");
  check(R"("nonMasqueradeCIDRs": "10.0.0.0/8")", R"(key "nonMasqueradeCIDRs" is "10.0.0.0/8")");
  check(R"("nonMasqueradeCIDRs": ["10.0.0.0"])", R"(key "nonMasqueradeCIDRs[0]" is "10.0.0.0")");
  check(R"("nonMasqueradeCIDRs": [""])", R"(key "nonMasqueradeCIDRs[0]" is "")");
  check(R"("masqueradeCIDRs": [null])", R"(key "masqueradeCIDRs[0]" is missing)");
  check(R"("masqueradeCIDRs": ["::/0", "10.0.0.0/33"])", R"(key "masqueradeCIDRs[1]" is "10.0)");
  check(R"("outInterfaces": ["eth0", ""])", R"(key "outInterfaces[1]" is "")");
  check(R"("outInterfaces": ["sixteen-letters-"])", R"(key "outInterfaces[0]" is "sixteen)");
  check(R"("outInterfaces": ["a/b"])", R"(key "outInterfaces[0]" is "a/b")");
  check(R"("outInterfaces": ["+"])", R"(key "outInterfaces[0]" is "+")");
  check(R"("snat": {"ipv4": "fd00::1"})", R"(key "snat.ipv4" is "fd00::1")");
  check(R"("snat": {"ipv6": "192.0.2.1"})", R"(key "snat.ipv6" is "192.0.2.1")");
  check(R"("snat": {"v4": "192.0.2.9-192.0.2.1"})", R"(key "snat.v4" is "192.0.2.9-192.0.2.1")");
  check(R"("snat": {"ipv4": "192.0.2.1-"})", R"(key "snat.ipv4" is "192.0.2.1-")");
  check(R"("snat": {"ipv4": "192.0.2.0/24"})", R"(key "snat.ipv4" is "192.0.2.0/24")");
  check(R"("snat": "192.0.2.1")", R"(key "snat" is "192.0.2.1")");
  check(R"("snat": {"persistent": "no"})", R"(key "snat.persistent" is "no")");
  check(R"("fullyRandom": 1)", R"(key "fullyRandom" is 1)");
  check(R"("dropInvalid": "x")", R"(key "dropInvalid" is "x")");
  check(R"("backend": "nft")", R"(key "backend" is "nft")");
  check(R"("backend": "")", R"(key "backend" is "")");
}

TEST_CASE("ipMasq is a boolean or an object", "[masquerade]") {
  const auto parse_it = parse_plugin_that_has_ip_masq;
  CHECK_FALSE(parse_it(""));
  CHECK_FALSE(parse_it(R"("ipMasq": null)"));
  CHECK_FALSE(parse_it(R"("ipMasq": false, "ipMasqBackend": "rubbish")"));
  REQUIRE(parse_it(R"("ipMasq": true)"));
  CHECK(parse_it(R"("ipMasq": true)")->backend == Backend::kAuto);
  CHECK(parse_it(R"("ipMasq": true, "ipMasqBackend": "iptables")")->backend == Backend::kIptables);
  REQUIRE(parse_it(R"("ipMasq": {})"));
  CHECK_FALSE(parse_it(R"("ipMasq": {"ipv4": false, "v6": false})"));
  CHECK_FALSE(parse_it(R"("ipMasq": {"masquerade": false})"));

  const auto inner = parse_it(R"("ipMasq": {"masquerade": {"ipv6": false}, "backend": "nftables",
                                 "nonMasqueradeCIDRs": ["10.0.0.0/8"]})");
  REQUIRE(inner);
  CHECK(inner->ipv4);
  CHECK_FALSE(inner->ipv6);
  CHECK(inner->backend == Backend::kNftables);
  CHECK(inner->skipped == std::vector{network("10.0.0.0/8")});
  const auto brief = parse_it(R"("ipMasq": {"ipv4": false}, "ipMasqBackend": "iptables")");
  REQUIRE(brief);
  CHECK_FALSE(brief->ipv4);
  CHECK(brief->backend == Backend::kIptables);

  const auto check = [](const std::string& keys, const std::string& place) {
    INFO(keys);
    CHECK_THAT(refusal(keys, parse_ip_masq), Catch::Contains(place));
  };
  check(R"("ipMasq": "true")", R"(key "ipMasq" is "true")");
  check(R"("ipMasq": true, "ipMasqBackend": "nft")", R"(unknown ipmasq backend "nft")");
  check(R"("ipMasq": {"snat": {"ipv4": "x"}})", R"(key "ipMasq.snat.ipv4" is "x")");
  check(R"("ipMasq": {"backend": "iptables"}, "ipMasqBackend": "nftables")",
        R"(key "ipMasq.backend" is "iptables", and key "ipMasqBackend" is "nftables")");
}
