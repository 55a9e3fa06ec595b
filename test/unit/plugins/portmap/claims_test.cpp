#include "portmap/claims.h"

#include <catch2/catch.hpp>

#include "base/error.h"

using namespace cni;           // NOLINT(google-build-using-namespace)
using namespace cni::portmap;  // NOLINT(google-build-using-namespace)
using Catch::Contains;
using Runs = std::vector<Run>;

namespace {

Run port(std::uint16_t number, std::uint32_t count = 1, const char* host_ip = "") {
  return {.protocol = Protocol::kTcp,
          .host_ip = inet::Address::parse(host_ip),
          .host_port = number,
          .container_port = number,
          .count = count};
}

Holding holding(const std::string& id, const Runs& runs) {
  return {.owner = {.network = "net1", .container_id = id, .ifname = "eth0"},
          .store = netfilter::StoreChoice::kNative,
          .address = *inet::Network::parse("10.0.0.2/24"),
          .masquerade = Masquerade::kNear,
          .runs = runs};
}

bool alive(const Holding& /*holding*/) {
  return true;
}

bool dead(const Holding& /*holding*/) {
  return false;
}

const Holding& of(const std::vector<Holding>& holdings, const std::string& id) {
  for (const Holding& one : holdings) {
    if (one.owner.container_id == id) return one;
  }
  FAIL("no " + id);
  return holdings.front();
}

}  // namespace

TEST_CASE("a live holder is named, and keeps its port", "[portmap]") {
  Holding a = holding("a", {port(80, 3)});
  a.pod = "default/web";
  CHECK_THROWS_AS(with({a}, holding("b", {port(82)}), ConflictPolicy::kError, alive), Busy);
  CHECK_THROWS_WITH(
      with({a}, holding("b", {port(82)}), ConflictPolicy::kError, alive),
      "host port 82/tcp is in use by container a (network \"net1\", interface eth0, pod "
      "default/web)");
  CHECK_THROWS_AS(
      with({a}, holding("b", {port(82, 1, "192.0.2.1")}), ConflictPolicy::kError, alive), Busy);
  CHECK(with({a}, holding("b", {port(83)}), ConflictPolicy::kError, alive).size() == 2);
}

TEST_CASE("the port of a dead holder is taken over, and all that it had goes", "[portmap]") {
  const auto after = with({holding("a", {port(80), port(90)})}, holding("b", {port(80)}),
                          ConflictPolicy::kError, dead);
  REQUIRE(after.size() == 1);
  CHECK(of(after, "b").runs == Runs{port(80)});
}

TEST_CASE("an attachment takes the place of what it had", "[portmap]") {
  const auto after = with({holding("a", {port(80), port(90)})}, holding("a", {port(80), port(91)}),
                          ConflictPolicy::kError, alive);
  REQUIRE(after.size() == 1);
  CHECK(of(after, "a").runs == Runs{port(80), port(91)});
}

TEST_CASE("replace takes no more than it asks for", "[portmap]") {
  const auto after = with({holding("a", {port(80, 10)})}, holding("b", {port(83, 2)}),
                          ConflictPolicy::kReplace, alive);
  CHECK(of(after, "a").runs == Runs{port(80, 3), port(85, 5)});
  CHECK(of(after, "b").runs == Runs{port(83, 2)});
}

TEST_CASE("who shares a port gets it when it is free", "[portmap]") {
  auto state =
      with({holding("a", {port(80)})}, holding("b", {port(80, 2)}), ConflictPolicy::kShare, alive);
  CHECK(of(state, "b").runs == Runs{port(81)});
  CHECK(of(state, "b").waiting == Runs{port(80)});
  state = with(state, holding("c", {port(80)}), ConflictPolicy::kShare, alive);
  CHECK(of(state, "c").runs.empty());
  const auto drop = [&](const std::string& id) {
    state = without(state, [&](const Holding& one) { return one.owner.container_id == id; });
  };

  SECTION("the first in line first") {
    drop("a");
    CHECK(of(state, "b").runs == Runs{port(80, 2)});
    CHECK(of(state, "b").waiting.empty());
    CHECK(of(state, "c").runs.empty());
    drop("b");
    CHECK(of(state, "c").runs == Runs{port(80)});
  }
  SECTION("or whoever is left") {
    drop("b");
    CHECK(of(state, "c").runs.empty());
    drop("a");
    CHECK(of(state, "c").runs == Runs{port(80)});
  }
  SECTION("also when the holder comes back with other ports") {
    state = with(state, holding("a", {port(99)}), ConflictPolicy::kError, alive);
    CHECK(of(state, "b").runs == Runs{port(80, 2)});
  }
}

TEST_CASE("changes are what differs, and have a way back", "[portmap]") {
  const std::vector<Holding> before = {holding("a", {port(80)}), holding("b", {port(81)})};
  const std::vector<Holding> after = {holding("b", {port(82)}), holding("c", {port(80)})};
  CHECK(changes(before, before).empty());
  const auto forth = changes(before, after);
  REQUIRE(forth.size() == 3);
  CHECK_FALSE(forth[0].after);
  CHECK(forth[1].after->runs == Runs{port(82)});
  CHECK_FALSE(forth[2].before);
}

TEST_CASE("what is written down can be read again", "[portmap]") {
  Holding one = holding("a", {port(80, 5, "192.0.2.1"), port(8080)});
  one.runs[0].gate = 0;
  one.runs[0].container_port = 70;
  one.waiting = {port(99)};
  one.turn = 3;
  one.gates = {{.conditions = {"-s", "10.0.0.0/8"},
                .sources = {.limited = true,
                            .allowed = {*inet::Network::parse("10.0.0.0/8")},
                            .denied = {*inet::Network::parse("10.0.0.1/32")}}}};
  one.chain = "CNI-DN-x";
  one.localnet = Localnet{.interface = "br0", .reset = true};
  one.pod = "default/web";
  one.netns_path = "/run/netns/a";
  one.netns = netns::NetnsId{.device = 4, .inode = 4026532000};
  const auto read = parse_holding({.owner = one.owner, .content = render(one)});
  REQUIRE(read);
  CHECK(*read == one);

  json::Value broken = render(one);
  broken["ports"][0][5] = 1;  // no such gate
  CHECK_FALSE(parse_holding({.owner = one.owner, .content = broken}));
  CHECK_FALSE(parse_holding({.owner = one.owner, .content = json::Value::object()}));
}

TEST_CASE("what a removal left stays with those that had a share in it", "[portmap]") {
  Holding native = holding("a", {port(80)});
  native.localnet = Localnet{.interface = "br0", .reset = true};
  Holding with_chain = holding("b", {port(81)});
  with_chain.store = netfilter::StoreChoice::kLegacy;
  with_chain.chain = "CNI-DN-1";
  Holding waits = holding("c", {});
  waits.waiting = {port(80), port(81)};
  const auto left = [&](Leftovers leftovers) {
    return ended(
        {native, with_chain, waits},
        [](const Holding& one) { return one.owner.container_id != "c"; }, leftovers);
  };

  CHECK(left({}).size() == 1);
  const auto localnet = left({.localnet = true});
  REQUIRE(localnet.size() == 2);
  CHECK(of(localnet, "a").ended);
  CHECK(of(localnet, "a").localnet == native.localnet);
  CHECK(of(localnet, "a").runs.empty());
  CHECK(of(localnet, "a").masquerade == Masquerade::kNone);
  CHECK(of(localnet, "c").runs == Runs{port(80, 2)});

  const auto rules = left({.rules = true});
  REQUIRE(rules.size() == 2);
  CHECK(of(rules, "b").chain == "CNI-DN-1");
  // The rules still serve it.
  CHECK(of(rules, "b").runs == Runs{port(81)});
  CHECK(of(rules, "c").runs == Runs{port(80)});
  const auto taken = with(rules, holding("d", {port(81)}), ConflictPolicy::kError, alive);
  CHECK(taken.size() == 2);
  CHECK(of(taken, "d").runs == Runs{port(81)});
}
