#include "veth/routing.h"

#include <catch2/catch.hpp>
#include <string>
#include <vector>

#include "protocol/error.h"

using namespace cni::veth;  // NOLINT(google-build-using-namespace)
using cni::Result;
using cni::inet::Address;
using cni::inet::Network;

namespace {

using Texts = std::vector<std::string>;

cni::IpConfig ip(const char* address, const char* gateway = nullptr) {
  cni::IpConfig config{.address = *Network::parse(address)};
  if (gateway != nullptr) config.gateway = *Address::parse(gateway);
  return config;
}

const cni::netlink::Link kLink = [] {
  cni::netlink::Link link;
  link.index = 7;
  return link;
}();

Texts texts(const std::vector<cni::netlink::Route>& routes) {
  Texts lines;
  for (const auto& route : routes) {
    lines.push_back(cni::netlink::text(route) + " scope " + std::to_string(route.scope) +
                    (route.preferred_source ? " from " + route.preferred_source->text() : ""));
  }
  return lines;
}

Texts texts(const std::vector<Network>& networks) {
  Texts lines;
  for (const Network& network : networks) lines.push_back(network.text());
  return lines;
}

}  // namespace

TEST_CASE("a missing gateway is a link-local one", "[veth]") {
  Result result{.ips = {ip("10.1.2.5/24"), ip("fd00::5/64"), ip("10.1.3.5/32", "10.1.3.1")}};
  complete_gateways(result);
  CHECK(result.ips[0].gateway->text() == "169.254.1.1");
  CHECK(result.ips[1].gateway->text() == "fe80::1");
  CHECK(result.ips[2].gateway->text() == "10.1.3.1");
}

TEST_CASE("a gateway that cannot be one", "[veth]") {
  Result other_family{.ips = {ip("fd00::5/64", "10.1.2.1")}};
  CHECK_THROWS_WITH(complete_gateways(other_family), Catch::Contains("of the other family"));
  Result twice{.ips = {ip("fd00::5/64"), ip("fd00::5/128", "fd00::1")}};
  CHECK_THROWS_WITH(complete_gateways(twice), Catch::Contains("fd00::5 twice"));
  Result itself{.ips = {ip("fd00::5/64", "fd00::5")}};
  CHECK_THROWS_WITH(complete_gateways(itself), Catch::Contains("the address itself"));
}

TEST_CASE("routes of one address per family", "[veth]") {
  const Result result{.ips = {ip("10.1.2.5/24", "10.1.2.1"), ip("fd00::5/64", "fd00::1")}};
  CHECK(texts(gateway_addresses(result)) == Texts{"10.1.2.1/32", "fd00::1/128"});
  CHECK(texts(host_routes(result, kLink)) ==
        Texts{"10.1.2.5/32 on link 7 scope 254", "fd00::5/128 on link 7 scope 0"});
  CHECK(texts(container_routes(result, kLink)) ==
        Texts{"10.1.2.1/32 on link 7 scope 253 from 10.1.2.5",
              "fd00::1/128 on link 7 scope 0 from fd00::5",
              "10.1.2.0/24 via 10.1.2.1 on link 7 scope 0 from 10.1.2.5",
              "fd00::/64 via fd00::1 on link 7 scope 0 from fd00::5"});
}

TEST_CASE("addresses that share gateway and network share their routes", "[veth]") {
  const Result result{.ips = {ip("10.1.2.5/24", "10.1.2.1"), ip("10.1.2.6/24", "10.1.2.1"),
                              ip("10.1.2.7/24", "10.1.2.254"), ip("10.9.9.9/32", "10.1.2.1")}};
  CHECK(texts(gateway_addresses(result)) == Texts{"10.1.2.1/32", "10.1.2.254/32"});
  CHECK(host_routes(result, kLink).size() == 4);
  CHECK(texts(container_routes(result, kLink)) ==
        Texts{"10.1.2.1/32 on link 7 scope 253 from 10.1.2.5",
              "10.1.2.254/32 on link 7 scope 253 from 10.1.2.7",
              "10.1.2.0/24 via 10.1.2.1 on link 7 scope 0 from 10.1.2.5"});
}

TEST_CASE("a previous result without gateways has no routes to compare", "[veth]") {
  const Result result{.ips = {ip("10.1.2.5/24")}};
  CHECK(gateway_addresses(result).empty());
  CHECK(container_routes(result, kLink).empty());
  CHECK(host_routes(result, kLink).size() == 1);
}
