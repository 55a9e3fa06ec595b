#include "portmap/config.h"

#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>

#include "protocol/error.h"

using namespace cni;           // NOLINT(google-build-using-namespace)
using namespace cni::portmap;  // NOLINT(google-build-using-namespace)
using Catch::Contains;
using inet::Address;
using inet::Family;
using inet::Network;
using Json = nlohmann::json;

namespace {

Request request(Json conf, Command command = Command::kAdd) {
  if (!conf.contains("name")) conf["name"] = "net1";
  Environment environment{};
  environment.container_id = "c1";
  environment.ifname = "eth0";
  return {.command = command,
          .environment = environment,
          .conf = NetConf::parse(conf.dump()),
          .version = Version::k1_1_0,
          .netns = {}};
}

Result dual_stack() {
  return {.interfaces = {{.name = "br0"}, {.name = "eth0", .sandbox = "/run/netns/c1"}},
          .ips = {{.address = *Network::parse("10.1.2.5/24"), .interface = 1},
                  {.address = *Network::parse("fd00:1::5/64"), .interface = 1}}};
}

Json mapping(Json keys = Json::object()) {
  Json one = {{"hostPort", 8080}, {"containerPort", 80}, {"protocol", "tcp"}};
  if (keys.is_object()) one.update(keys);
  return one;
}

Json with_mapping(const Json& keys, Json conf = Json::object()) {
  conf["runtimeConfig"]["portMappings"] = Json::array({mapping(keys)});
  return conf;
}

Config parse(const Json& conf) {
  return parse_config(request(conf), dual_stack());
}

// What a configuration is refused with, without the words that ADD puts in front.
std::string refusal(const Json& conf) {
  try {
    parse_config(request(conf, Command::kCheck), dual_stack());
  } catch (const std::exception& error) {
    CHECK(to_error(std::current_exception()).code() == Code::kInvalidConfig);
    return error.what();
  }
  return "";
}

}  // namespace

TEST_CASE("portmap takes the defaults of the reference suite", "[portmap]") {
  const Config config = parse(with_mapping({}));
  CHECK(config.backend == netfilter::Backend::kAuto);
  CHECK(config.snat);
  CHECK_FALSE(config.masq_all);
  CHECK(config.mark_bit == 13);
  CHECK_FALSE(config.external_set_mark_chain);
  CHECK(config.conflict_policy == ConflictPolicy::kError);
  REQUIRE(config.mappings.size() == 1);
  const Mapping& one = config.mappings.front();
  CHECK(one.protocol == Protocol::kTcp);
  CHECK(one.host_port == 8080);
  CHECK(one.container_port == 80);
  CHECK(one.count == 1);
  CHECK_FALSE(one.host_ip);
  CHECK(one.sources.unlimited());
  CHECK(config.address_v4 == Network::parse("10.1.2.5/24"));
  CHECK(config.address_v6 == Network::parse("fd00:1::5/64"));
}

TEST_CASE("portmap reads mappings", "[portmap]") {
  CHECK(parse(with_mapping({{"protocol", "UDP"}})).mappings[0].protocol == Protocol::kUdp);
  CHECK(parse(with_mapping({{"protocol", "sCtP"}})).mappings[0].protocol == Protocol::kSctp);
  CHECK(parse(with_mapping({{"hostPort", 1}})).mappings[0].host_port == 1);
  CHECK(parse(with_mapping({{"hostPort", 65535}})).mappings[0].host_port == 65535);
  CHECK(parse(with_mapping({{"hostIP", "192.0.2.1"}})).mappings[0].host_ip ==
        Address::parse("192.0.2.1"));
  CHECK_FALSE(parse(with_mapping({{"hostIP", ""}})).mappings[0].host_ip);
  CHECK(parse(with_mapping({{"hostIP", "::"}})).mappings[0].concerns(Family::kIpv6));
  CHECK_FALSE(parse(with_mapping({{"hostIP", "::"}})).mappings[0].concerns(Family::kIpv4));
  CHECK(parse(with_mapping({{"hostPort", 65000}, {"range", 536}})).mappings[0].count == 536);
}

TEST_CASE("portmap refuses mappings that cannot be made", "[portmap]") {
  CHECK(refusal(with_mapping({{"hostPort", 0}})) == "Invalid host port number: 0");
  CHECK(refusal(with_mapping({{"hostPort", -1}})) == "Invalid host port number: -1");
  CHECK(refusal(with_mapping({{"hostPort", 65536}})) == "Invalid host port number: 65536");
  CHECK(refusal(with_mapping({{"containerPort", 65536}})) ==
        "Invalid container port number: 65536");
  CHECK(refusal(with_mapping({{"containerPort", 0}, {"hostPort", 0}})) ==
        "Invalid container port number: 0");
  CHECK_THAT(refusal(with_mapping({{"protocol", "icmp"}})), Contains("Invalid protocol \"icmp\""));
  CHECK_THAT(refusal(with_mapping({{"protocol", ""}})), Contains("Invalid protocol"));
  CHECK_THAT(refusal(with_mapping({{"hostIP", "localhost"}})), Contains("\"localhost\""));
  CHECK(refusal(with_mapping({{"range", 0}})) != "");
  CHECK(refusal(with_mapping({{"hostPort", 65000}, {"range", 537}})) != "");
  CHECK(refusal(with_mapping({{"containerPort", 65535}, {"range", 2}})) != "");
  Json with_null;
  with_null["runtimeConfig"]["portMappings"] = {nullptr};
  CHECK(refusal(with_null) != "");
}

TEST_CASE("portmap refuses a host address of a family that the container lacks", "[portmap]") {
  Result v4 = dual_stack();
  v4.ips.pop_back();
  const auto refused = [&](const char* host_ip) {
    try {
      parse_config(request(with_mapping({{"hostIP", host_ip}})), v4);
      return false;
    } catch (const json::ValueError&) {
      return true;
    }
  };
  CHECK(refused("2001:db8::1"));
  CHECK_FALSE(refused("192.0.2.1"));
  // Runtimes send the two unspecified addresses together, whatever the container has.
  CHECK_FALSE(refused("::"));
}

TEST_CASE("portmap refuses keys as the reference suite does", "[portmap]") {
  CHECK(refusal({{"markMasqBit", 32}}) == "MasqMarkBit must be between 0 and 31");
  CHECK(refusal({{"markMasqBit", -1}}) == "MasqMarkBit must be between 0 and 31");
  CHECK(refusal({{"markMasqBit", 31}}) == "");
  CHECK(refusal({{"markMasqBit", 5}, {"externalSetMarkChain", "X"}}) ==
        "Cannot specify externalSetMarkChain and markMasqBit");
  CHECK(refusal({{"backend", ""}}) == "unrecognized backend \"\"");
  CHECK(refusal({{"backend", "nft"}}) == "unrecognized backend \"nft\"");
  CHECK(refusal({{"backend", nullptr}}) == "");
  CHECK(refusal({{"backend", "auto"}, {"externalSetMarkChain", "X"}}) == "");
  CHECK(refusal({{"externalSetMarkChain", std::string(28, 'X')}}) == "");
  for (const std::string& name : {std::string(), std::string(29, 'X')}) {
    CHECK(refusal({{"externalSetMarkChain", name}}) ==
          "no name of a chain: that has 1 to 28 bytes");
  }
  CHECK(refusal({{"backend", "nftables"},
                 {"externalSetMarkChain", "X"},
                 {"conditionsV4", {"-s", "10.0.0.0/8"}},
                 {"conditionsV6", {"!", "-d", "fd00::/8"}}}) ==
        "nftables backend was requested but configuration contains iptables-specific options "
        "[externalSetMarkChain conditionsV4 conditionsV6]");
  CHECK(refusal({{"backend", "iptables"}, {"conditionsV6", {"ip6", "saddr", "fd00::/8"}}}) ==
        "iptables backend was requested but configuration contains nftables-specific options "
        "[conditionsV6]");
  CHECK(refusal({{"backend", "nft"}, {"externalSetMarkChain", "X"}}) ==
        "nft backend was requested but configuration contains iptables-specific options "
        "[externalSetMarkChain]");
  CHECK_THAT(refusal(with_mapping({{"allowFrom", {"10.0.0.0/8"}}}, {{"backend", "iptables"}})),
             Contains("nftables-specific options [allowFrom]"));
  CHECK_THAT(refusal({{"conflictPolicy", "ask"}}), Contains("\"ask\""));
}

TEST_CASE("portmap says in ADD and DEL that it was parsing", "[portmap]") {
  CHECK_THROWS_WITH(parse_config(request({{"markMasqBit", 32}}), {}),
                    "failed to parse config: MasqMarkBit must be between 0 and 31");
}

TEST_CASE("a source has to pass the list of the network and that of the mapping", "[portmap]") {
  const auto sources = [](const Json& of_network, const Json& of_mapping) {
    return parse(with_mapping(of_mapping, of_network)).mappings[0].sources;
  };
  const Sources both_lists =
      sources({{"allowFrom", {"10.0.0.0/8", "fd00::/8"}}, {"denyFrom", {"10.9.0.0/16"}}},
              {{"allowFrom", {"10.1.0.0/16", "192.0.2.0/24"}}, {"denyFrom", {"10.1.1.1"}}});
  CHECK(both_lists.limited);
  CHECK(both_lists.allowed == std::vector{*Network::parse("10.1.0.0/16")});
  CHECK(both_lists.denied ==
        std::vector{*Network::parse("10.9.0.0/16"), *Network::parse("10.1.1.1/32")});

  CHECK(sources({}, {{"allowFrom", Json::array()}}).limited);
  CHECK(sources({{"allowFrom", {"10.0.0.0/8"}}}, {}).allowed ==
        std::vector{*Network::parse("10.0.0.0/8")});
  CHECK_THAT(refusal(with_mapping({{"denyFrom", {"10.0.0.0/33"}}})), Contains("10.0.0.0/33"));
}

TEST_CASE("the container's address is the first one on its own interface", "[portmap]") {
  const auto find = [](const std::vector<IpConfig>& ips) {
    const Result result{
        .interfaces = {{.name = "eth0"}, {.name = "eth0", .sandbox = "/x"}, {.name = "eth1"}},
        .ips = ips};
    return find_container_address(result, Family::kIpv4, "eth0");
  };
  const Network a = *Network::parse("10.0.0.1/24");
  const Network b = *Network::parse("10.0.0.2/16");
  CHECK(find({{.address = a, .interface = 0}, {.address = b, .interface = 1}}) == b);
  CHECK(find({{.address = a, .interface = 2}, {.address = b}}) == b);
  CHECK(find({{.address = a}, {.address = b, .interface = 1}}) == a);
  CHECK(find({{.address = a, .interface = 7}}) == a);
  CHECK_FALSE(find({{.address = a, .interface = 2}}));
}
