// host-local-ipam: many at a time, and together with the Go suite's host-local on one directory.
#include <catch2/catch.hpp>
#include <filesystem>

#include "plugin/host_local_network.h"
#include "support/two_namespaces.h"

using cni::test::AddressNetwork;
using cni::test::call_together;
using cni::test::kGoHostLocal;
using nlohmann::json;

namespace {

using Calls = std::vector<AddressNetwork::Call>;

std::string plugin_for(int number, bool mixed) {
  return mixed && number % 2 == 1 ? kGoHostLocal : "host-local-ipam";
}

Calls adds(int count, bool mixed) {
  Calls calls;
  for (int at = 0; at < count; ++at) {
    calls.push_back(
        {.verb = "ADD", .id = "c" + std::to_string(at), .plugin = plugin_for(at, mixed)});
  }
  return calls;
}

void storm(const AddressNetwork& network, bool mixed) {
  std::set<std::string> addresses;
  for (const auto& outcome : call_together(network, adds(64, mixed))) {
    INFO(outcome.text());
    REQUIRE(outcome.status == 0);
    CHECK(addresses.insert(outcome.json->at("ips").at(0).at("address")).second);
  }
  CHECK(addresses.size() == 64);
  CHECK(network.reserved().size() == 64);
  CHECK(network.add("more").code() == 999);

  // Half of them go while others come; whoever releases is not always who reserved.
  Calls mix;
  for (int at = 0; at < 32; ++at) {
    mix.push_back({.verb = "DEL",
                   .id = "c" + std::to_string(at),
                   .netns = "",
                   .plugin = plugin_for(at / 2, mixed)});
  }
  for (const auto& outcome : call_together(network, mix)) {
    INFO(outcome.text());
    CHECK(outcome.status == 0);
  }
  CHECK(network.reserved().size() == 32);
  mix.clear();
  for (int at = 0; at < 32; ++at) {
    mix.push_back({.verb = "ADD", .id = "d" + std::to_string(at), .plugin = plugin_for(at, mixed)});
    mix.push_back({.verb = "DEL",
                   .id = "c" + std::to_string(32 + at),
                   .netns = "",
                   .plugin = plugin_for(at / 2, mixed)});
  }
  for (const auto& outcome : call_together(network, mix)) {
    INFO(outcome.text());
    CHECK(outcome.status == 0);
  }
  CHECK(network.reserved().size() == 32);
  for (int at = 0; at < 32; ++at) {
    CHECK(network
              .call({.verb = "DEL",
                     .id = "d" + std::to_string(at),
                     .netns = "",
                     .plugin = plugin_for(at / 2, mixed)})
              .status == 0);
  }
  CHECK(network.reserved().empty());
}

const json kSixtyFour = {
    {"subnet", "10.1.2.0/24"}, {"rangeStart", "10.1.2.10"}, {"rangeEnd", "10.1.2.73"}};

}  // namespace

TEST_CASE("64 at a time get 64 addresses", "[host-local]") {
  storm(AddressNetwork(kSixtyFour, "1.0.0"), false);
}

TEST_CASE("together with the Go suite too", "[host-local][reference-plugins]") {
  storm(AddressNetwork(kSixtyFour, "1.0.0"), true);
}

TEST_CASE("of many ADDs for one attachment one wins", "[host-local]") {
  const AddressNetwork network(kSixtyFour);
  int won = 0;
  const Calls calls(16, {.verb = "ADD", .id = "c1"});
  for (const auto& outcome : call_together(network, calls)) won += outcome.status == 0 ? 1 : 0;
  CHECK(won == 1);
  CHECK(network.reserved().size() == 1);
}

TEST_CASE("what one suite reserves the other checks and releases",
          "[host-local][reference-plugins]") {
  AddressNetwork network(
      {{"ranges", {{{{"subnet", "10.1.2.0/28"}}}, {{{"subnet", "fd00::/120"}}}}}}, "1.0.0");
  const std::string ours = "host-local-ipam";
  const std::string go = kGoHostLocal;
  for (const auto& [one, other] : {std::pair(ours, go), std::pair(go, ours)}) {
    INFO(one << " then " << other);
    const std::string first = network.added_by({.verb = "ADD", .id = "c1", .plugin = one});
    const std::string second = network.added_by({.verb = "ADD", .id = "c2", .plugin = other});
    CHECK(first != second);
    CHECK(network.call({.verb = "CHECK", .id = "c1", .plugin = other}).status == 0);
    CHECK(network.call({.verb = "ADD", .id = "c1", .plugin = other}).code() == 999);
    CHECK(network.reserved().size() == 4);
    CHECK(network.call({.verb = "DEL", .id = "c1", .netns = "", .plugin = other}).status == 0);
    CHECK(network.reserved().size() == 2);
    CHECK(network.call({.verb = "CHECK", .id = "c1", .plugin = one}).code() == 999);
    CHECK(network.call({.verb = "DEL", .id = "c2", .netns = "", .plugin = one}).status == 0);
    CHECK(network.reserved().empty());
  }
}

TEST_CASE("both suites give the same addresses in the same order",
          "[host-local][reference-plugins]") {
  const json ipam = {{"ranges",
                      {{{{"subnet", "10.1.2.0/29"}, {"gateway", "10.1.2.4"}},
                        {{"subnet", "10.9.0.0/30"}, {"rangeStart", "10.9.0.2"}}}}}};
  const AddressNetwork ours(ipam, "1.0.0");
  const AddressNetwork theirs(ipam, "1.0.0");
  unsigned random = 17;
  for (int turn = 0; turn < 60; ++turn) {
    random = random * 1103515245U + 12345U;
    const std::string id = "c" + std::to_string(random / 65536U % 9U);
    const std::string verb = random / 4194304U % 3U == 0 ? "DEL" : "ADD";
    const auto one = ours.call({.verb = verb, .id = id});
    const auto other = theirs.call({.verb = verb, .id = id, .plugin = kGoHostLocal});
    INFO(turn << ' ' << verb << ' ' << id << one.text() << other.text());
    REQUIRE((one.status == 0) == (other.status == 0));
    REQUIRE(ours.reserved() == theirs.reserved());
    if (one.status == 0 && verb == "ADD") REQUIRE(one.json->at("ips") == other.json->at("ips"));
    for (const auto& name : ours.reserved()) REQUIRE(ours.content(name) == theirs.content(name));
    if (turn > 0) {
      REQUIRE(ours.content("last_reserved_ip.0") == theirs.content("last_reserved_ip.0"));
    }
  }
}

TEST_CASE("the name host-local is the same plugin", "[host-local]") {
  const AddressNetwork network(kSixtyFour);
  CHECK(network.added_by({.verb = "ADD", .id = "c1", .plugin = "host-local"}) == "10.1.2.10");
  CHECK(network.del("c1").status == 0);
  const auto version = network.call({.verb = "VERSION"});
  CHECK(version.json->at("supportedVersions").size() == 7);
}
