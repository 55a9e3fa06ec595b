// host-local-ipam: addresses that stay with a pod, and addresses that rest.
#include <catch2/catch.hpp>
#include <filesystem>
#include <thread>

#include "plugin/host_local_network.h"
#include "support/two_namespaces.h"

using cni::test::AddressNetwork;
using cni::test::Namespace;
using nlohmann::json;

namespace {

AddressNetwork::Call add_pod(const std::string& pod, const std::string& id,
                             const std::string& netns = "/run/netns/none") {
  return {.verb = "ADD",
          .id = id,
          .netns = netns,
          .args = "IgnoreUnknown=1;K8S_POD_NAMESPACE=n;K8S_POD_NAME=" + pod};
}

}  // namespace

TEST_CASE("a pod gets its address back", "[host-local]") {
  const AddressNetwork network(json{{"subnet", "10.1.2.0/29"}, {"sticky", true}});
  REQUIRE(network.added_by(add_pod("a", "a0")) == "10.1.2.2");
  for (int turn = 0; turn < 10; ++turn) {
    const std::string id = "a" + std::to_string(turn);
    CHECK(network.del(id).status == 0);
    CHECK(network.reserved().empty());
    // In between others come and go.
    const std::string other = "b" + std::to_string(turn);
    CHECK(network.added_by(add_pod("b" + std::to_string(turn % 3), other)) != "10.1.2.2");
    CHECK(network.del(other).status == 0);
    CHECK(network.added_by(add_pod("a", "a" + std::to_string(turn + 1))) == "10.1.2.2");
  }
}

TEST_CASE("a held address is given to nobody else", "[host-local]") {
  AddressNetwork network(json{{"subnet", "10.1.2.0/29"}, {"sticky", {{"ttl", "1h"}}}});
  REQUIRE(network.added_by(add_pod("a", "a0")) == "10.1.2.2");
  REQUIRE(network.del("a0").status == 0);
  for (int at = 0; at < 4; ++at) {
    CHECK(network.added("c" + std::to_string(at)) == "10.1.2." + std::to_string(3 + at));
  }
  CHECK(network.add("more").code() == 999);
  CHECK(network.call({.verb = "ADD", .id = "more", .args = "IP=10.1.2.2"}).code() == 999);
  const auto status = network.status();
  CHECK(status.code() == 50);
  CHECK(status.message().find("4 used, 0 reclaimable, 0 cooling down, 1 held, 5 total") !=
        std::string::npos);
  SECTION("until its time is over") {
    network.config["ipam"]["sticky"]["ttl"] = 0;
    CHECK(network.status().status == 0);
    CHECK(network.added("more") == "10.1.2.2");
  }
  SECTION("but to its pod") {
    CHECK(network.added_by(add_pod("a", "a1")) == "10.1.2.2");
  }
  SECTION("while addresses are held at all") {
    network.config["ipam"].erase("sticky");
    CHECK(network.added("more") == "10.1.2.2");
  }
}

TEST_CASE("a pod whose container died keeps its address", "[host-local]") {
  const AddressNetwork network(json{{"subnet", "10.1.2.0/29"}, {"sticky", true}});
  REQUIRE(network.added("c0") == "10.1.2.2");
  {
    const Namespace first("a");
    REQUIRE(network.added_by(add_pod("a", "a0", first.path())) == "10.1.2.3");
    const Namespace meanwhile("a");
    CHECK(network.added_by(add_pod("a", "a1", meanwhile.path())) == "10.1.2.4");
    CHECK(network.del("a1").status == 0);
  }
  const Namespace second("a");
  CHECK(network.added_by(add_pod("a", "a2", second.path())) == "10.1.2.4");
}

TEST_CASE("an ADD that is undone leaves the hold as it was", "[host-local]") {
  const AddressNetwork network(json{{"subnet", "10.1.2.0/29"}, {"sticky", true}});
  auto failing = add_pod("a", "a0");
  failing.stdout_path = "/dev/full";
  CHECK(network.call(failing).status == 1);
  CHECK(std::filesystem::is_empty(network.own_directory() + "/sticky"));
  REQUIRE(network.added_by(add_pod("a", "a1")) == "10.1.2.3");
  REQUIRE(network.del("a1").status == 0);
  CHECK(network.call(failing).status == 1);
  CHECK(network.added("c1") == "10.1.2.4");
  CHECK(network.added_by(add_pod("a", "a2")) == "10.1.2.3");
}

TEST_CASE("a released address rests as long as others are free", "[host-local]") {
  AddressNetwork network(json{{"subnet", "10.1.2.0/29"}, {"cooldown", "1h"}});
  REQUIRE(network.added("c0") == "10.1.2.2");
  REQUIRE(network.added("c1") == "10.1.2.3");
  REQUIRE(network.added("c2") == "10.1.2.4");
  REQUIRE(network.del("c1").status == 0);
  REQUIRE(network.del("c0").status == 0);
  CHECK(network.added("c3") == "10.1.2.5");
  CHECK(network.added("c4") == "10.1.2.6");
  CHECK(network.status().status == 0);

  SECTION("then the one that has rested longest comes first") {
    CHECK(network.added("c5") == "10.1.2.3");
    CHECK(network.added("c6") == "10.1.2.2");
    CHECK(network.add("c7").code() == 999);
    CHECK(network.status().code() == 50);
    CHECK(network.del("c6").status == 0);
    CHECK(network.added("c7") == "10.1.2.2");
  }
  SECTION("or when it is asked for") {
    CHECK(network.call({.verb = "ADD", .id = "c5", .args = "IP=10.1.2.2"}).status == 0);
    CHECK(network.added("c6") == "10.1.2.3");
    CHECK(network.add("c7").code() == 999);
    CHECK(network.status().message().find("5 used, 0 reclaimable, 0 cooling down") !=
          std::string::npos);
  }
  SECTION("or when its time is over") {
    network.config["ipam"]["cooldown"] = "0s";
    CHECK(network.added("c5") == "10.1.2.2");
  }
}

TEST_CASE("the time of a cooldown is kept under churn", "[host-local]") {
  const AddressNetwork network(json{{"subnet", "10.1.2.0/28"}, {"cooldown", "300ms"}});
  std::map<std::string, std::chrono::steady_clock::time_point> released;
  constexpr int kTurns = 40;  // three times round
  int reused = 0;
  for (int turn = 0; turn < kTurns; ++turn) {
    const std::string address = network.added("c");
    if (const auto before = released.find(address); before != released.end()) {
      // Both ends lie inside the calls, so what is measured is no less than what was kept.
      CHECK(std::chrono::steady_clock::now() - before->second >= std::chrono::milliseconds(300));
      ++reused;
    }
    released[address] = std::chrono::steady_clock::now();
    REQUIRE(network.del("c").status == 0);
    // 13 addresses last for longer than one of them rests.
    std::this_thread::sleep_for(std::chrono::milliseconds(25));
  }
  CHECK(reused > 0);
}
