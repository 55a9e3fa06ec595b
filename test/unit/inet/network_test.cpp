#include "inet/network.h"

#include <catch2/catch.hpp>
#include <string>

using cni::inet::Address;
using cni::inet::Family;
using cni::inet::Network;

namespace {

Network network(const std::string& text) {
  INFO(text);
  const auto parsed = Network::parse(text);
  REQUIRE(parsed.has_value());
  return *parsed;
}

Address address(const std::string& text) {
  return Address::parse(text).value();
}

}  // namespace

TEST_CASE("networks are read and printed with their host bits", "[inet]") {
  CHECK(network("10.1.2.5/24").text() == "10.1.2.5/24");
  CHECK(network("10.1.2.5/24").masked().text() == "10.1.2.0/24");
  CHECK(network("2001:DB8::5/64").text() == "2001:db8::5/64");
  CHECK(network("0.0.0.0/0").text() == "0.0.0.0/0");
  CHECK(network("10.1.2.3/32").text() == "10.1.2.3/32");
  CHECK(network("::1/128").text() == "::1/128");
}

TEST_CASE("what is no network is refused", "[inet]") {
  for (const char* text :
       {"", "/", "/24", "10.1.2.3", "10.1.2.3/", "10.1.2.3/33", "10.1.2.3/-1", "10.1.2.3/+1",
        "10.1.2.3/ 24", "10.1.2.3/24 ", "10.1.2.3/2x", "10.1.2.3/255.255.255.0", "10.1.2.3/24/8",
        "10.1.2/24", "::/129", "::/0000", "fe80::1%eth0/64", "10.1.2.3/4294967320"}) {
    INFO(text);
    CHECK_FALSE(Network::parse(text).has_value());
  }
}

TEST_CASE("a network ends where its prefix says", "[inet]") {
  CHECK(network("10.1.2.5/24").first().text() == "10.1.2.0");
  CHECK(network("10.1.2.5/24").last().text() == "10.1.2.255");
  CHECK(network("10.1.2.5/32").first() == network("10.1.2.5/32").last());
  CHECK(network("10.1.2.5/0").last().text() == "255.255.255.255");
  CHECK(network("10.1.2.5/31").first().text() == "10.1.2.4");
  CHECK(network("2001:db8::5/64").last().text() == "2001:db8::ffff:ffff:ffff:ffff");
  CHECK(network("::/0").last().text() == "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff");
  CHECK(network("2001:db8::5/127").first().text() == "2001:db8::4");
}

TEST_CASE("a network contains its addresses and none of the other family", "[inet]") {
  const Network net = network("10.1.2.5/24");
  CHECK(net.contains(address("10.1.2.0")));
  CHECK(net.contains(address("10.1.2.255")));
  CHECK_FALSE(net.contains(address("10.1.1.255")));
  CHECK_FALSE(net.contains(address("10.1.3.0")));
  CHECK_FALSE(network("::/0").contains(address("10.1.2.3")));
  CHECK_FALSE(network("0.0.0.0/0").contains(address("::1")));
  CHECK(network("::/0").contains(address("::1")));
}

TEST_CASE("networks overlap if one holds a part of the other", "[inet]") {
  const auto overlap = [](const char* one, const char* other) {
    const bool there = network(one).overlaps(network(other));
    CHECK(there == network(other).overlaps(network(one)));
    return there;
  };
  CHECK(overlap("10.0.0.0/8", "10.1.2.0/24"));
  CHECK(overlap("10.1.2.0/24", "10.1.2.0/24"));
  CHECK(overlap("10.1.2.77/24", "10.1.2.3/24"));
  CHECK_FALSE(overlap("10.1.2.0/25", "10.1.2.128/25"));
  CHECK_FALSE(overlap("0.0.0.0/0", "::/0"));
}

TEST_CASE("default and host networks", "[inet]") {
  CHECK(cni::inet::default_network(Family::kIpv4) == network("0.0.0.0/0"));
  CHECK(cni::inet::default_network(Family::kIpv6) == network("::/0"));
  CHECK(Network::host(address("10.1.2.3")) == network("10.1.2.3/32"));
  CHECK(Network::host(address("::1")) == network("::1/128"));
}
