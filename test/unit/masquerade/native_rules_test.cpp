#include "masquerade/native_rules.h"

#include <algorithm>
#include <catch2/catch.hpp>
#include <random>
#include <set>
#include <string>

using namespace cni::masquerade;  // NOLINT(google-build-using-namespace)
using cni::inet::Network;
using cni::nftables::Bytes;
using cni::nftables::Element;
using cni::nftables::padded_name;

namespace {

Policy policy(const std::string& address, const Config& config = {}, bool drop_invalid = true) {
  return {config, *Network::parse(address), drop_invalid};
}

// As the kernel looks a key up: the last element at or below it counts.
bool holds(const std::vector<Element>& elements, const Bytes& key) {
  const Element* last = nullptr;
  for (const Element& each : elements) {
    if (each.key <= key && (last == nullptr || last->key <= each.key)) last = &each;
  }
  return last != nullptr && !last->interval_end;
}

std::vector<std::string> set_names(const Policy& policy) {
  std::vector<std::string> names;
  for (const auto& each : policy.sets()) names.push_back(each.set.name);
  return names;
}

}  // namespace

TEST_CASE("equal settings and one subnet share their chains", "[masquerade]") {
  const std::string chain = policy("10.88.0.5/24").chain();
  CHECK(chain.size() == 19);
  CHECK(chain.starts_with("to-"));
  CHECK(policy("10.88.0.6/24").chain() == chain);
  std::set<std::string> chains = {chain, policy("10.88.1.6/24").chain(),
                                  policy("10.88.0.5/23").chain(), policy("fd00::5/64").chain(),
                                  policy("10.88.0.5/24", {}, false).chain()};
  const auto add = [&](const Config& config) {
    chains.insert(policy("10.88.0.5/24", config).chain());
  };
  add({.skipped = {*Network::parse("10.0.0.0/8")}});
  add({.only = {*Network::parse("10.0.0.0/8")}});
  add({.out_interfaces = {"eth0"}});
  add({.out_interfaces = {"eth+"}});
  add({.snat_ipv4 = SourceRange{.first = *cni::inet::Address::parse("192.0.2.1"),
                                .last = *cni::inet::Address::parse("192.0.2.1"),
                                .place = ""}});
  add({.snat_ipv4 = SourceRange{.first = *cni::inet::Address::parse("192.0.2.1"),
                                .last = *cni::inet::Address::parse("192.0.2.2"),
                                .place = ""}});
  add({.persistent = true});
  add({.fully_random = false});
  CHECK(chains.size() == 13);
  // What is on by default may be said, and what is of the other family does not matter; nor does
  // the order.
  add({.fully_random = true});
  add({.skipped = {*Network::parse("fd00::/8")}});
  CHECK(chains.size() == 13);
  const Config one{.skipped = {*Network::parse("10.0.0.0/8"), *Network::parse("172.16.0.0/12")}};
  const Config two{.skipped = {*Network::parse("172.16.0.0/12"), *Network::parse("10.0.0.0/8")}};
  CHECK(policy("10.88.0.5/24", one).chain() == policy("10.88.0.5/24", two).chain());
}

TEST_CASE("addresses that are a subnet each share a chain too", "[masquerade]") {
  CHECK(policy("10.88.0.5/32").chain() == policy("10.88.0.6/32").chain());
  CHECK(policy("fd00::5/128").chain() == policy("fd00::6/128").chain());
}

TEST_CASE("a policy has the sets it needs", "[masquerade]") {
  const Policy plain = policy("10.88.0.5/24");
  CHECK(set_names(plain) == std::vector{plain.chain() + "-skip"});
  CHECK(holds(plain.sets()[0].elements, {std::byte{10}, std::byte{88}, {}, std::byte{255}}));
  CHECK_FALSE(holds(plain.sets()[0].elements, {std::byte{10}, std::byte{88}, std::byte{1}, {}}));
  CHECK(holds(plain.sets()[0].elements, {std::byte{239}, {}, {}, {}}));
  CHECK_FALSE(holds(plain.sets()[0].elements, {std::byte{240}, {}, {}, {}}));

  const Policy all = policy(
      "10.88.0.5/24",
      {.skipped = {}, .only = {*Network::parse("192.0.2.0/24")}, .out_interfaces = {"eth0"}});
  CHECK(set_names(all) ==
        std::vector{all.chain() + "-skip", all.chain() + "-only", all.chain() + "-out"});
  CHECK(set_names(all) == policy_set_names(all.chain()));
  CHECK(all.layout().sets.size() == 5);    // and the maps
  CHECK(all.layout().chains.size() == 4);  // and the base chains
  CHECK(policy("10.88.0.5/24", {}, false).layout().chains.size() == 2);
}

TEST_CASE("names of links are ranges", "[masquerade]") {
  const std::vector<Element> elements = name_elements({"wan0", "eth+", "eth1", "ethernet"});
  CHECK(elements.size() == 5);
  CHECK(holds(elements, padded_name("wan0")));
  CHECK_FALSE(holds(elements, padded_name("wan")));
  CHECK_FALSE(holds(elements, padded_name("wan01")));
  CHECK_FALSE(holds(elements, padded_name("wan1")));
  CHECK(holds(elements, padded_name("eth")));
  CHECK(holds(elements, padded_name("eth0")));
  CHECK(holds(elements, padded_name("ethernet0")));
  CHECK_FALSE(holds(elements, padded_name("et")));
  CHECK_FALSE(holds(elements, padded_name("eti")));
  CHECK(name_elements({}).empty());
}

TEST_CASE("random names of links are found as a model finds them", "[masquerade]") {
  std::mt19937 random(5);  // NOLINT(bugprone-random-generator-seed): each run is the same
  const auto below = [&](unsigned limit) { return static_cast<unsigned>(random() % limit); };
  const auto name = [&] {
    std::string text;
    for (unsigned left = 1 + below(4); left > 0; --left) text += "ab"[below(2)];
    return text;
  };
  for (int round = 0; round < 300; ++round) {
    std::vector<std::string> names;
    for (unsigned left = 1 + below(6); left > 0; --left) {
      names.push_back(name() + (below(3) == 0 ? "+" : ""));
    }
    const std::vector<Element> elements = name_elements(names);
    for (int probe = 0; probe < 20; ++probe) {
      const std::string candidate = name();
      const bool expected = std::ranges::any_of(names, [&](const std::string& each) {
        return each.ends_with('+') ? candidate.starts_with(each.substr(0, each.size() - 1))
                                   : candidate == each;
      });
      INFO(candidate);
      CHECK(holds(elements, padded_name(candidate)) == expected);
    }
  }
}
