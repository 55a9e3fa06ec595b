#include "protocol/result_versions.h"

#include <algorithm>
#include <catch2/catch.hpp>
#include <filesystem>

#include "json/parse.h"
#include "protocol/error.h"
#include "support/sandbox.h"

using cni::IpConfig;
using cni::Result;
using cni::Version;
using cni::json::Reader;
using cni::json::Value;
using cni::test::read_whole_file;

namespace {

// <case>.in.json is a result as a plugin prints it, <case>.out.json the same result in each of the
// seven versions, or {"error": message} where there is none.
const std::filesystem::path kGolden = CNI_SOURCE_DIRECTORY "/cni-spec/vectors/result";

std::vector<std::string> golden_cases() {
  std::vector<std::string> cases;
  for (const auto& entry : std::filesystem::directory_iterator(kGolden)) {
    const std::string name = entry.path().filename();
    if (name.ends_with(".in.json")) cases.push_back(name.substr(0, name.find(".in.json")));
  }
  std::ranges::sort(cases);
  return cases;
}

nlohmann::json convert(const Value& document, Version from, Version to) {
  try {
    // Sorted keys: their order says nothing.
    return nlohmann::json::parse(
        cni::json::compact(render_result(parse_result(Reader(document), from), to)));
  } catch (const cni::Error& error) {
    CHECK(error.code() == cni::Code::kInternal);
    return {{"error", error.what()}};
  }
}

Version version_of(const Value& document) {
  return cni::find_version(document.value("cniVersion", "")).value();
}

Result full_result() {
  const auto network = [](const char* text) { return *cni::inet::Network::parse(text); };
  const auto address = [](const char* text) { return *cni::inet::Address::parse(text); };
  return {
      .interfaces = {{.name = "eth0",
                      .mac = "0a:00:00:00:00:01",
                      .mtu = 1400,
                      .sandbox = "/run/netns/a",
                      .socket_path = "/run/s",
                      .pci_id = "0000:00:01.0"}},
      .ips = {{.address = network("10.1.2.5/24"), .gateway = address("10.1.2.1"), .interface = 0}},
      .routes = {{.destination = network("0.0.0.0/0"), .gateway = address("10.1.2.1"), .scope = 0}},
      .dns = {.nameservers = {"10.0.0.1"}, .domain = "a.b", .search = {"c"}, .options = {"d"}},
  };
}

}  // namespace

TEST_CASE("every conversion among the versions gives the golden result", "[protocol]") {
  const std::vector<std::string> cases = golden_cases();
  for (const Version version : cni::kVersions) {
    CHECK(std::ranges::count(cases, "from-" + std::string(text(version))) == 1);
  }
  for (const std::string& name : cases) {
    const Value given = cni::json::parse(read_whole_file(kGolden / (name + ".in.json")));
    const auto expected = nlohmann::json::parse(read_whole_file(kGolden / (name + ".out.json")));
    REQUIRE(expected.size() == cni::kVersions.size());
    for (const Version to : cni::kVersions) {
      INFO(name << " to " << text(to));
      CHECK(convert(given, version_of(given), to) == expected[std::string(text(to))]);
    }
  }
}

TEST_CASE("what was converted is read back the same", "[protocol]") {
  for (const std::string& name : golden_cases()) {
    const auto expected = cni::json::parse(read_whole_file(kGolden / (name + ".out.json")));
    for (const auto& [version, document] : expected.items()) {
      if (document.contains("error")) continue;
      INFO(name << " in " << version);
      CHECK(convert(document, version_of(document), version_of(document)) ==
            nlohmann::json::parse(document.dump()));
    }
  }
}

TEST_CASE("a result without a version is in the version that is asked for", "[protocol]") {
  const Value document = cni::json::parse(R"({"ip4":{"ip":"10.1.2.5/24"}})");
  CHECK(parse_result(Reader(document), Version::k0_2_0).ips.size() == 1);
  CHECK(parse_result(Reader(document), Version::k0_3_0).ips.empty());
}

TEST_CASE("the printed forms", "[protocol]") {
  CHECK(cni::json::compact(render_result(full_result(), Version::k0_2_0)) ==
        R"({"cniVersion":"0.2.0","ip4":{"ip":"10.1.2.5/24","gateway":"10.1.2.1",)"
        R"("routes":[{"dst":"0.0.0.0/0","gw":"10.1.2.1"}]},)"
        R"("dns":{"nameservers":["10.0.0.1"],"domain":"a.b","search":["c"],"options":["d"]}})");
  CHECK(cni::json::compact(render_result(full_result(), Version::k0_4_0)) ==
        R"({"cniVersion":"0.4.0",)"
        R"("interfaces":[{"name":"eth0","mac":"0a:00:00:00:00:01","sandbox":"/run/netns/a"}],)"
        R"("ips":[{"version":"4","interface":0,"address":"10.1.2.5/24","gateway":"10.1.2.1"}],)"
        R"("routes":[{"dst":"0.0.0.0/0","gw":"10.1.2.1","scope":0}],)"
        R"("dns":{"nameservers":["10.0.0.1"],"domain":"a.b","search":["c"],"options":["d"]}})");
  CHECK(cni::json::compact(render_result(full_result(), Version::k1_1_0)) ==
        R"({"cniVersion":"1.1.0",)"
        R"("interfaces":[{"name":"eth0","mac":"0a:00:00:00:00:01","mtu":1400,)"
        R"("sandbox":"/run/netns/a","socketPath":"/run/s","pciID":"0000:00:01.0"}],)"
        R"("ips":[{"interface":0,"address":"10.1.2.5/24","gateway":"10.1.2.1"}],)"
        R"("routes":[{"dst":"0.0.0.0/0","gw":"10.1.2.1","scope":0}],)"
        R"("dns":{"nameservers":["10.0.0.1"],"domain":"a.b","search":["c"],"options":["d"]}})");
}

TEST_CASE("nothing at all", "[protocol]") {
  CHECK(cni::json::compact(render_result({}, Version::k0_3_0)) ==
        R"({"cniVersion":"0.3.0","dns":{}})");
  CHECK(cni::json::compact(render_result({}, Version::k1_0_0)) == R"({"cniVersion":"1.0.0"})");
  CHECK_THROWS_WITH(render_result({}, Version::k0_1_0), "cannot convert: no valid IP addresses");
}

TEST_CASE("an IPv4 address in the clothes of IPv6 is one of IPv4", "[protocol]") {
  const Value document =
      cni::json::parse(R"({"ips":[{"address":"::ffff:10.1.2.5/24","gateway":"::ffff:10.1.2.1"}]})");
  const Result result = parse_result(Reader(document), Version::k1_0_0);
  CHECK(cni::json::compact(render_result(result, Version::k0_1_0)) ==
        R"({"cniVersion":"0.1.0","ip4":{"ip":"10.1.2.5/24","gateway":"10.1.2.1"},"dns":{}})");
}

TEST_CASE("limits of the numbers in routes", "[protocol]") {
  const Value document = cni::json::parse(
      R"([{"dst":"10.0.0.0/8","mtu":4294967295,"table":4294967295,"scope":255,"priority":1}])");
  const std::vector<cni::Route> routes = cni::parse_routes(Reader(document));
  REQUIRE(routes.size() == 1);
  CHECK(routes[0].mtu == 4294967295U);
  CHECK(routes[0].table == 4294967295U);
  CHECK(routes[0].scope == 255);
  CHECK(routes[0].priority == 1U);
  CHECK(routes[0].advmss == std::nullopt);
  CHECK_THROWS_AS(cni::parse_routes(Reader(cni::json::parse("[null]"))), cni::json::ValueError);
}
