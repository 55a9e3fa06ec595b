#include "veth/config.h"

#include <catch2/catch.hpp>
#include <string>

#include "json/reader.h"
#include "protocol/error.h"

using namespace cni::veth;  // NOLINT(google-build-using-namespace)

namespace {

Config parse(const std::string& keys, const std::string& args = "") {
  const std::string text =
      R"({"cniVersion": "1.1.0", "name": "net")" + (keys.empty() ? "" : ", " + keys) + "}";
  return parse_config({.command = cni::Command::kAdd,
                       .environment = {.command = "ADD",
                                       .container_id = "c",
                                       .netns = "",
                                       .ifname = "eth0",
                                       .args = args,
                                       .path = "",
                                       .netns_override = false},
                       .conf = cni::NetConf::parse(text),
                       .version = cni::Version::k1_1_0,
                       .netns = std::nullopt});
}

}  // namespace

TEST_CASE("what a veth configuration leaves out", "[veth]") {
  const Config config = parse("");
  CHECK_FALSE(config.mtu.number);
  CHECK_FALSE(config.mtu.automatic);
  CHECK_FALSE(config.masquerade);
  CHECK_FALSE(config.dns);
  CHECK_FALSE(config.args.pod());
}

TEST_CASE("the keys of a veth configuration", "[veth]") {
  CHECK(parse(R"("mtu": 1400)").mtu.number == 1400);
  const auto automatic = parse(R"("mtu": "auto", "mtuOverhead": 50)").mtu;
  CHECK(automatic.automatic);
  CHECK(automatic.overhead == 50);
  CHECK(parse(R"("ipMasq": true)").masquerade);
  CHECK_FALSE(parse(R"("ipMasq": false)").masquerade);
  CHECK_THROWS_AS(parse(R"("ipMasq": 5)"), cni::json::ValueError);
  CHECK(parse(R"("dns": {"domain": "d"})").dns->domain == "d");
  CHECK_THROWS_AS(parse(R"("mtu": -1)"), cni::json::ValueError);
  CHECK_THROWS_AS(parse(R"("mtu": "much")"), cni::json::ValueError);
  CHECK_THROWS_AS(parse(R"("dns": 5)"), cni::json::ValueError);
}

TEST_CASE("veth takes the name of the pod from CNI_ARGS and nothing amiss", "[veth]") {
  CHECK(parse("", "K8S_POD_NAMESPACE=shop;K8S_POD_NAME=db-0").args.pod() == "shop/db-0");
  CHECK_FALSE(parse("", "rubbish").args.pod());
}
