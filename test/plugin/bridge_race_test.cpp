// Many calls at the same time, on a host where nothing is made yet.
#include <algorithm>
#include <catch2/catch.hpp>
#include <random>
#include <thread>

#include "plugin/bridge_network.h"

using namespace cni::test;  // NOLINT(google-build-using-namespace)

namespace {

// One thread per call.
std::vector<PluginOutcome> run_together(const std::vector<PluginCall>& calls) {
  std::vector<PluginOutcome> outcomes(calls.size());
  std::vector<std::thread> threads;
  threads.reserve(calls.size());
  for (std::size_t at = 0; at < calls.size(); ++at) {
    threads.emplace_back([&, at] { outcomes[at] = run_plugin_binary(calls[at]); });
  }
  for (std::thread& thread : threads) thread.join();
  return outcomes;
}

void check_all_ok(const std::vector<PluginOutcome>& outcomes) {
  for (const PluginOutcome& outcome : outcomes) {
    INFO(outcome.text());
    CHECK(outcome.status == 0);
  }
}

std::size_t count_links(const Namespace& where, const std::string& filter) {
  return Json::parse(where.run("ip -j link show " + filter)).size();
}

std::vector<PluginCall> calls(const BridgeNetwork& net, const std::string& verb,
                              const std::vector<Attached>& attached) {
  std::vector<PluginCall> list;
  for (const Attached& one : attached) list.push_back(net.call(verb, one));
  return list;
}

}  // namespace

TEST_CASE("32 containers make one bridge together", "[bridge][race][ipv6]") {
  constexpr std::size_t kContainers = 32;
  BridgeNetwork net;
  net.give_by_number_unrecorded();
  std::vector<Attached> attached;
  for (std::size_t number = 1; number <= kContainers; ++number) {
    attached.push_back(net.attachment("c" + std::to_string(number)));
  }
  const auto added = run_together(calls(net, "ADD", attached));
  check_all_ok(added);
  CHECK(count_links(net.host, "type bridge") == 1);
  CHECK(count_links(net.host, "master br0") == kContainers);
  CHECK(addresses(net.host, "br0") == std::vector<std::string>{"10.1.2.1/24", "fd00:1:2::1/64"});
  const std::string mac = link(net.host, "br0")["address"];
  for (std::size_t at = 0; at < kContainers; ++at) {
    REQUIRE(added[at].json);
    attached[at].result = *added[at].json;
    CHECK(attached[at].result["interfaces"][0]["mac"] == mac);
    CHECK(ping(*attached[at].container, "10.1.2.1"));
  }
  check_all_ok(run_together(calls(net, "CHECK", attached)));
  check_all_ok(run_together(calls(net, "DEL", attached)));
  CHECK(count_links(net.host, "master br0") == 0);
  CHECK(count_links(net.host, "type veth") == 0);
}

TEST_CASE("a storm of ADD and DEL leaves what was there before", "[bridge][race][ipv6]") {
  constexpr std::size_t kContainers = 20;
  BridgeNetwork net;
  net.give_by_number_unrecorded();
  net.del(net.add("c100"));
  const Snapshot before = net.snapshot();
  std::vector<Attached> attached;
  for (std::size_t number = 1; number <= kContainers; ++number) {
    attached.push_back(net.attachment("c" + std::to_string(number)));
  }
  std::vector<std::string> problems(kContainers);
  std::vector<std::thread> threads;
  for (std::size_t at = 0; at < kContainers; ++at) {
    threads.emplace_back([&, at] {
      std::minstd_rand random(static_cast<unsigned>(at) + 1);
      Attached& one = attached[at];
      bool is_there = false;
      for (int step = 0; step < 12; ++step) {
        const bool add = random() % 2 == 0;
        if (add && is_there) continue;
        const PluginOutcome outcome = net.run(add ? "ADD" : "DEL", one);
        if (outcome.status != 0) problems[at] += outcome.text();
        is_there = add;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (const std::string& problem : problems) CHECK(problem.empty());
  check_all_ok(run_together(calls(net, "DEL", attached)));
  CHECK(difference(before, net.snapshot()) == "");
}

TEST_CASE("16 DELs of one container at a time", "[bridge][race]") {
  BridgeNetwork net;
  const Attached one = net.add("c1");
  check_all_ok(run_together(std::vector<PluginCall>(16, net.call("DEL", one))));
  CHECK_FALSE(net.host.has_link(port_name(one.result)));
}

TEST_CASE("of several ADDs of one container, one wins", "[bridge][race]") {
  BridgeNetwork net;
  Attached one = net.attachment("c1");
  std::size_t winners = 0;
  for (const PluginOutcome& outcome :
       run_together(std::vector<PluginCall>(8, net.call("ADD", one)))) {
    INFO(outcome.text());
    if (outcome.status == 0) {
      ++winners;
      one.result = *outcome.json;
    } else {
      CHECK_THAT(outcome.message(), Catch::Contains("already exists"));
    }
  }
  CHECK(winners == 1);
  net.check(one);
  CHECK(ping(*one.container, "10.1.2.1"));
}

TEST_CASE("an ADD that fails does not take the bridge away from others", "[bridge][race]") {
  for (int round = 0; round < 10; ++round) {
    BridgeNetwork net;
    net.ipam.reply("ADD", {.before = R"sh(
case $CNI_CONTAINERID in
bad*) sleep 0.0$((($$ + 3) % 7)); exit 1 ;;
*) printf '{"ips":[{"address":"10.1.2.%d/24"}]}' $((${CNI_CONTAINERID#c} + 1)) ;;
esac
)sh"});
    std::vector<Attached> good;
    std::vector<PluginCall> all;
    for (int number = 1; number <= 3; ++number) {
      all.push_back(net.call("ADD", net.attachment("bad" + std::to_string(number))));
      good.push_back(net.attachment("c" + std::to_string(number)));
      all.push_back(net.call("ADD", good.back()));
    }
    const auto outcomes = run_together(all);
    for (std::size_t at = 0; at < outcomes.size(); ++at) {
      INFO(outcomes[at].text());
      CHECK(outcomes[at].status == (at % 2 == 0 ? 1 : 0));
    }
    for (const Attached& one : good) CHECK(ping(*one.container, "10.1.2.1"));
    CHECK(count_links(net.host, "master br0") == 3);
  }
}

TEST_CASE("the MAC of the bridge does not change as containers come and go", "[bridge][race]") {
  BridgeNetwork net;
  net.without_ipam();
  const bool foreign = GENERATE(false, true);
  if (foreign) net.host.run("ip link add br0 type bridge");
  std::vector<Attached> attached = {net.add("c0")};
  const std::string mac = link(net.host, "br0")["address"];
  // Lower than any MAC the kernel would make up by itself.
  net.host.run("ip link add low address 02:00:00:00:00:01 type veth peer name lower");
  net.host.run("ip link set low master br0");
  CHECK(link(net.host, "br0")["address"] == mac);
  std::minstd_rand random(1);
  std::size_t changes = 0;
  for (int step = 1; step <= 100; ++step) {
    if (attached.empty() || random() % 2 == 0) {
      attached.push_back(net.add("c" + std::to_string(step)));
    } else {
      const std::size_t victim = random() % attached.size();
      net.del(attached[victim]);
      attached.erase(attached.begin() + static_cast<std::ptrdiff_t>(victim));
    }
    changes += link(net.host, "br0")["address"] == mac ? 0 : 1;
  }
  CHECK(changes == 0);
  for (const Attached& one : attached) {
    net.check(one);
  }
}

TEST_CASE("the MAC of the bridge is the same after a reboot", "[bridge]") {
  std::string macs[2];
  for (std::string& mac : macs) {
    BridgeNetwork net;
    net.add("c1");
    mac = link(net.host, "br0")["address"];
  }
  CHECK(macs[0] == macs[1]);
  BridgeNetwork other;
  other.config["bridge"] = "br1";
  other.add("c1");
  CHECK(link(other.host, "br1")["address"] != macs[0]);
}
