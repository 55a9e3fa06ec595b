#include "portmap/mapping.h"

#include <catch2/catch.hpp>
#include <random>
#include <set>
#include <tuple>

using namespace cni;           // NOLINT(google-build-using-namespace)
using namespace cni::portmap;  // NOLINT(google-build-using-namespace)
using inet::Address;

namespace {

Run run(std::uint16_t host, std::uint16_t container, std::uint32_t count = 1,
        const char* host_ip = "", Protocol protocol = Protocol::kTcp) {
  return {.protocol = protocol,
          .host_ip = Address::parse(host_ip),
          .host_port = host,
          .container_port = container,
          .count = count};
}

using Port = std::tuple<Protocol, std::optional<Address>, unsigned>;

std::set<Port> ports(const std::vector<Run>& runs) {
  std::set<Port> all;
  for (const Run& one : runs) {
    for (unsigned offset = 0; offset < one.count; ++offset) {
      all.emplace(one.protocol, one.host_ip, one.host_port + offset);
    }
  }
  return all;
}

std::vector<Run> random_runs(std::minstd_rand& random) {
  std::vector<Run> runs;
  const std::size_t length = random() % 6;
  while (runs.size() < length) {
    const auto port = static_cast<std::uint16_t>(1 + random() % 30);
    constexpr const char* kAddresses[] = {"", "192.0.2.1", "192.0.2.2"};
    runs.push_back(run(port, port, static_cast<std::uint32_t>(1 + random() % 10),
                       kAddresses[random() % 3],
                       random() % 2 == 0 ? Protocol::kTcp : Protocol::kUdp));
  }
  return coalesce(runs);
}

}  // namespace

TEST_CASE("neighbouring ports become one run", "[portmap]") {
  CHECK(coalesce({run(81, 81), run(80, 80), run(82, 82)}) == std::vector{run(80, 80, 3)});
  CHECK(coalesce({run(8080, 80), run(8081, 81)}) == std::vector{run(8080, 80, 2)});
  // A step, another protocol, another address.
  CHECK(coalesce({run(80, 80), run(81, 82)}).size() == 2);
  CHECK(coalesce({run(80, 80), run(81, 81, 1, "", Protocol::kUdp)}).size() == 2);
  CHECK(coalesce({run(80, 80), run(81, 81, 1, "192.0.2.1")}).size() == 2);
  Run gated = run(81, 81);
  gated.gate = 0;
  CHECK(coalesce({run(80, 80), gated}).size() == 2);
  CHECK(coalesce({run(1, 1, 65535)}) == std::vector{run(1, 1, 65535)});
}

TEST_CASE("of two mappings for a port the first one counts", "[portmap]") {
  CHECK(coalesce({run(80, 8080), run(80, 9090)}) == std::vector{run(80, 8080)});
  CHECK(coalesce({run(80, 8080, 2), run(81, 9090)}) == std::vector{run(80, 8080, 2)});
}

TEST_CASE("ports collide if one of the addresses is any", "[portmap]") {
  CHECK(collide(run(80, 1), run(80, 2)));
  CHECK(collide(run(80, 1), run(80, 2, 1, "192.0.2.1")));
  CHECK(collide(run(80, 1, 1, "192.0.2.1"), run(80, 2, 1, "192.0.2.1")));
  CHECK_FALSE(collide(run(80, 1, 1, "192.0.2.1"), run(80, 2, 1, "192.0.2.2")));
  CHECK_FALSE(collide(run(80, 1), run(80, 1, 1, "", Protocol::kUdp)));
  CHECK(collide(run(80, 1, 10), run(89, 2)));
  CHECK_FALSE(collide(run(80, 1, 10), run(90, 2)));
}

TEST_CASE("the index finds what a walk over all ports finds", "[portmap]") {
  std::minstd_rand random(1);
  for (int round = 0; round < 2000; ++round) {
    const auto mine = random_runs(random);
    const auto others = random_runs(random);
    const PortIndex index(mine);
    std::vector<Run> found;
    for (const Run& other : others) {
      const auto parts = index.colliding(other);
      found.insert(found.end(), parts.begin(), parts.end());
    }
    std::set<Port> expected;
    for (const auto& [protocol, address, port] : ports(others)) {
      const Run one{.protocol = protocol,
                    .host_ip = address,
                    .host_port = static_cast<std::uint16_t>(port),
                    .container_port = 1};
      const bool taken =
          std::any_of(mine.begin(), mine.end(), [&](const Run& its) { return collide(its, one); });
      if (taken) expected.emplace(protocol, address, port);
    }
    REQUIRE(ports(found) == expected);
    std::set<Port> left = ports(others);
    for (const Port& port : expected) left.erase(port);
    REQUIRE(ports(without(others, found)) == left);
  }
}

TEST_CASE("a run is named as people write it", "[portmap]") {
  CHECK(run(8080, 80).text() == "8080/tcp");
  CHECK(run(8080, 80, 11, "192.0.2.1", Protocol::kUdp).text() == "8080-8090/udp on 192.0.2.1");
}

TEST_CASE("two limits of sources let in what both let in", "[portmap]") {
  const auto networks = [](std::initializer_list<const char*> texts) {
    std::vector<inet::Network> list;
    for (const char* text : texts) list.push_back(*inet::Network::parse(text));
    return list;
  };
  const Sources nobody{.limited = true};
  const Sources some{.limited = true, .allowed = networks({"10.0.0.0/8"})};
  const Sources fewer{.limited = true, .allowed = networks({"10.1.0.0/16", "192.0.2.0/24"})};
  CHECK(both({}, {}) == Sources{});
  CHECK(both({}, some) == some);
  CHECK(both(some, {}) == some);
  CHECK(both(some, nobody) == nobody);
  CHECK(both(some, fewer).allowed == networks({"10.1.0.0/16"}));
  CHECK(both(fewer, some).allowed == networks({"10.1.0.0/16"}));
  CHECK(both({.denied = networks({"10.0.0.1/32"})}, {.denied = networks({"10.0.0.2/32"})}).denied ==
        networks({"10.0.0.1/32", "10.0.0.2/32"}));
}
