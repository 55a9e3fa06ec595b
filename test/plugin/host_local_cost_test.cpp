// host-local-ipam: what an ADD and a DEL cost does not grow with the number of reservations.
#include <algorithm>
#include <catch2/catch.hpp>
#include <chrono>
#include <cstdlib>

#include "plugin/host_local_network.h"

using cni::test::AddressNetwork;
using cni::test::run_traced;
using cni::test::Trace;
using nlohmann::json;

namespace {

constexpr int kMany = 65000;
const json kLarge = {{"subnet", "10.1.0.0/16"}};

// As the Go suite would have left them; the first call of ours finds and indexes them.
void fill(const AddressNetwork& network, int count) {
  const std::string config = network.config.dump();
  REQUIRE(network.added("first") == "10.1.0.2");
  for (int at = 3; at < 3 + count; ++at) {
    cni::test::write_file(
        network.directory() + "/10.1." + std::to_string(at / 256) + '.' + std::to_string(at % 256),
        "c" + std::to_string(at) + "\r\neth0", 0600);
  }
  cni::test::write_file(
      network.directory() + "/last_reserved_ip.0",
      "10.1." + std::to_string((2 + count) / 256) + '.' + std::to_string((2 + count) % 256));
  REQUIRE(network.del("first").status == 0);
}

int traced(const AddressNetwork& network, const std::string& verb) {
  const auto call = run_traced(network, verb, Trace::kYes);
  REQUIRE(call.status == 0);
  return call.stops;
}

std::chrono::nanoseconds timed(const AddressNetwork& network, const std::string& verb) {
  const auto call = run_traced(network, verb, Trace::kNo);
  REQUIRE(call.status == 0);
  return call.time;
}

std::chrono::nanoseconds median(std::vector<std::chrono::nanoseconds>& times) {
  std::ranges::sort(times);
  return times[times.size() / 2];
}

}  // namespace

TEST_CASE("65000 reservations cost no more than 10", "[host-local][traced]") {
  const AddressNetwork few(kLarge);
  const AddressNetwork many(kLarge);
  fill(few, 10);
  fill(many, kMany);
  REQUIRE(many.reserved().size() == kMany);

  // The number of system calls is exact, and none of them is as long as the directory.
  for (const char* verb : {"ADD", "DEL", "DEL", "STATUS"}) {
    const int at_few = traced(few, verb);
    const int at_many = traced(many, verb);
    INFO(verb << ": " << at_few / 2 << " and " << at_many / 2);
    CHECK(std::abs(at_many - at_few) <= 8);
  }

  for (const char* what : {"beside the pointer", "far from it"}) {
    if (what == std::string("far from it")) {
      // The only free addresses are the last before the search comes round.
      cni::test::write_file(many.directory() + "/last_reserved_ip.0", "10.1.253.238");
      cni::test::write_file(few.directory() + "/last_reserved_ip.0", "10.1.253.238");
    }
    std::map<std::string, std::vector<std::chrono::nanoseconds>> at_few;
    std::map<std::string, std::vector<std::chrono::nanoseconds>> at_many;
    for (int turn = 0; turn < 101; ++turn) {
      for (const char* verb : {"ADD", "DEL"}) {
        at_few[verb].push_back(timed(few, verb));
        at_many[verb].push_back(timed(many, verb));
      }
    }
    for (const char* verb : {"ADD", "DEL"}) {
      const auto one = median(at_few[verb]);
      const auto other = median(at_many[verb]);
      INFO(what << ", " << verb << ": " << one.count() / 1000 << " us at 10, "
                << other.count() / 1000 << " us at 65000");
      CHECK(other <= 2 * one);
    }
  }
}

TEST_CASE("a full range is found out quickly", "[host-local][traced]") {
  const json ipam = {{"subnet", "10.1.0.0/16"}, {"rangeEnd", "10.1.19.138"}};
  const AddressNetwork network(ipam);
  fill(network, 5000);
  // 10.1.0.2 was released, and nothing else is free.
  REQUIRE(network.added("last") == "10.1.0.2");
  REQUIRE(network.add("more").code() == 999);
  // The last call has looked for the dead, and the next ones know.
  std::vector<int> calls;
  for (int turn = 0; turn < 5; ++turn) {
    const auto call = run_traced(network, "ADD", Trace::kYes);
    REQUIRE(call.status == 1);
    calls.push_back(call.stops / 2);
  }
  INFO(calls[0] << ' ' << calls[1] << ' ' << calls[2]);
  std::ranges::sort(calls);
  CHECK(calls[2] < 150);
}
