#include <algorithm>
#include <catch2/catch.hpp>
#include <cerrno>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "netlink/address.h"
#include "netns/sysctl.h"
#include "support/two_namespaces.h"

using namespace cni::netlink;  // NOLINT(google-build-using-namespace)
using cni::inet::Family;
using cni::inet::Network;
using cni::netns::Netns;
using cni::test::Host;
using nlohmann::json;

namespace {

Network network(const std::string& text) {
  return *Network::parse(text);
}

// A host with one veth pair, v0 and c0, both up.
struct Pair {
  Pair() {
    add_veth(socket, {.host = {.name = "v0"}, .container = {.name = "c0"}});
    v0 = get_link(socket, "v0");
    c0 = get_link(socket, "c0");
    change_link(socket, v0, {.up = true});
    change_link(socket, c0, {.up = true});
  }

  // What ip(8) says of the address on v0.
  json shown(const std::string& address) const {
    const json link = json::parse(host.run("ip -j address show dev v0")).at(0);
    for (const json& one : link.at("addr_info")) {
      if (one.at("local") == address) return one;
    }
    return json();
  }

  // Sorted: in which order the kernel lists links is not the same everywhere.
  std::vector<std::string> listed(const AddressFilter& filter) {
    std::vector<std::string> texts;
    for (const InterfaceAddress& address : addresses(socket, filter)) {
      if (!address.network.address.is_link_local()) texts.push_back(address.network.text());
    }
    std::ranges::sort(texts);
    return texts;
  }

  Host host;
  Socket socket = Socket::in(Netns::open(host.path()));
  Link v0;
  Link c0;
};

}  // namespace

TEST_CASE("an IPv4 address is added with its broadcast address", "[netlink][veth]") {
  Pair pair;
  add_address(pair.socket, pair.v0, network("10.1.2.3/24"));
  const json shown = pair.shown("10.1.2.3");
  CHECK(shown.at("prefixlen") == 24);
  CHECK(shown.at("broadcast") == "10.1.2.255");
  CHECK(shown.at("scope") == "global");
  CHECK(shown.at("label") == "v0");

  add_address(pair.socket, pair.v0, network("10.1.3.1/30"));
  CHECK(pair.shown("10.1.3.1").at("broadcast") == "10.1.3.3");
  add_address(pair.socket, pair.v0, network("10.1.4.0/31"));
  CHECK_FALSE(pair.shown("10.1.4.0").contains("broadcast"));
  add_address(pair.socket, pair.v0, network("10.1.5.1/32"));
  CHECK_FALSE(pair.shown("10.1.5.1").contains("broadcast"));
}

TEST_CASE("an IPv6 address is tentative unless it is added without detection",
          "[netlink][veth][ipv6]") {
  Pair pair;
  add_address(pair.socket, pair.v0, network("fd00::1/64"));
  add_address(pair.socket, pair.v0, network("fd01::1/64"), {.no_dad = true});
  std::vector<std::string> tentative;
  for (const InterfaceAddress& address : addresses(pair.socket, {.family = Family::kIpv6})) {
    if (address.network.address.text() == "fd00::1") {
      CHECK(address.tentative);
      CHECK(address.permanent);
      CHECK_FALSE(address.dad_failed);
    }
    if (address.network.address.text() == "fd01::1") CHECK_FALSE(address.tentative);
  }
  CHECK(pair.shown("fd01::1").at("nodad") == true);
  CHECK_FALSE(pair.shown("fd00::1").contains("nodad"));
}

TEST_CASE("an address without the route to its network", "[netlink][veth]") {
  Pair pair;
  add_address(pair.socket, pair.v0, network("10.1.2.3/24"), {.no_prefix_route = true});
  CHECK(pair.host.run("ip route show 10.1.2.0/24").empty());
  add_address(pair.socket, pair.v0, network("10.1.3.3/24"));
  CHECK_FALSE(pair.host.run("ip route show 10.1.3.0/24").empty());
}

TEST_CASE("addresses are listed by link and family", "[netlink][veth][ipv6]") {
  Pair pair;
  add_address(pair.socket, pair.v0, network("fd00::1/64"), {.no_dad = true});
  add_address(pair.socket, pair.v0, network("10.1.2.3/24"));
  add_address(pair.socket, pair.c0, network("10.1.2.4/24"));
  using Texts = std::vector<std::string>;
  CHECK(pair.listed({}) ==
        Texts{"10.1.2.3/24", "10.1.2.4/24", "127.0.0.1/8", "::1/128", "fd00::1/64"});
  CHECK(pair.listed({.link_index = pair.v0.index}) == Texts{"10.1.2.3/24", "fd00::1/64"});
  CHECK(pair.listed({.link_index = pair.v0.index, .family = Family::kIpv6}) == Texts{"fd00::1/64"});
  CHECK(pair.listed({.family = Family::kIpv4}) ==
        Texts{"10.1.2.3/24", "10.1.2.4/24", "127.0.0.1/8"});
  CHECK(pair.listed({.link_index = 4711}).empty());
}

TEST_CASE("an address with another side is the one on this side", "[netlink][veth]") {
  Pair pair;
  pair.host.run("ip address add 10.1.2.3 peer 10.9.9.9/32 dev v0");
  CHECK(pair.listed({.link_index = pair.v0.index}) == std::vector<std::string>{"10.1.2.3/32"});
}

TEST_CASE("an address is added once", "[netlink][veth][ipv6]") {
  Pair pair;
  for (const std::string text : {"10.1.2.3/24", "fd00::1/64"}) {
    add_address(pair.socket, pair.v0, network(text));
    CHECK_THROWS_WITH(add_address(pair.socket, pair.v0, network(text)),
                      Catch::Contains("add address " + text + " to link \"v0\": file exists"));
    CHECK_FALSE(ensure_address(pair.socket, pair.v0, network(text)));
  }
  CHECK(ensure_address(pair.socket, pair.v0, network("10.1.2.4/24")));
  CHECK(pair.shown("10.1.2.4").at("prefixlen") == 24);
}

TEST_CASE("a deleted address is gone, and was there once", "[netlink][veth][ipv6]") {
  Pair pair;
  for (const std::string text : {"10.1.2.3/24", "fd00::1/64"}) {
    CHECK_FALSE(delete_address_if_exists(pair.socket, pair.v0, network(text)));
    add_address(pair.socket, pair.v0, network(text));
    CHECK(delete_address_if_exists(pair.socket, pair.v0, network(text)));
    CHECK(pair.listed({.link_index = pair.v0.index}).empty());
    CHECK_FALSE(delete_address_if_exists(pair.socket, pair.v0, network(text)));
  }
  delete_link_if_exists(pair.socket, pair.v0.index);
  CHECK_FALSE(delete_address_if_exists(pair.socket, pair.v0, network("10.1.2.3/24")));
  CHECK_FALSE(delete_address_if_exists(pair.socket, pair.v0, network("fd00::1/64")));
}

TEST_CASE("a refused address is told with its link", "[netlink][veth]") {
  Pair pair;
  delete_link_if_exists(pair.socket, pair.v0.index);
  CHECK_THROWS_WITH(add_address(pair.socket, pair.v0, network("10.1.2.3/24")),
                    Catch::Contains("add address 10.1.2.3/24 to link \"v0\": no such device"));
}
