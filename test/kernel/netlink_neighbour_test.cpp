#include <catch2/catch.hpp>
#include <string>

#include "netlink/neighbour.h"
#include "support/two_namespaces.h"

using Catch::Contains;
using namespace cni::netlink;  // NOLINT(google-build-using-namespace)
using cni::inet::Address;
using cni::inet::Mac;
using cni::netns::Netns;
using cni::test::Host;

TEST_CASE("a neighbour is known, changed and forgotten", "[netlink][veth][ipv6]") {
  Host host;
  Socket socket = Socket::in(Netns::open(host.path()));
  add_veth(socket, {.host = {.name = "v0"}, .container = {.name = "c0"}});
  const Link link = get_link(socket, "v0");
  change_link(socket, link, {.up = true});
  change_link(socket, get_link(socket, "c0"), {.up = true});

  const auto set = [&](const Address& address, const std::string& mac) {
    return replace_neighbour_if_possible(socket, link, address, *Mac::parse(mac));
  };
  for (const std::string text : {"10.1.2.1", "fd00::1"}) {
    const Address address = *Address::parse(text);
    const auto shown = [&] { return host.run("ip neighbour show to " + text + " dev v0"); };
    CHECK_FALSE(delete_neighbour_if_exists(socket, link, address));
    CHECK(set(address, "02:00:00:00:00:01"));
    CHECK_THAT(shown(), Contains("02:00:00:00:00:01") && Contains("REACHABLE"));
    CHECK(set(address, "02:00:00:00:00:02"));
    CHECK_THAT(shown(), Contains("02:00:00:00:00:02") && Contains("REACHABLE"));
    CHECK(delete_neighbour_if_exists(socket, link, address));
    CHECK(shown().empty());
  }
  const Address address = *Address::parse("10.1.2.1");
  delete_link_if_exists(socket, link.index);
  CHECK_FALSE(delete_neighbour_if_exists(socket, link, address));
  CHECK_THROWS_WITH(
      set(address, "02:00:00:00:00:01"),
      Contains("set neighbour 10.1.2.1 of link \"v0\" to 02:00:00:00:00:01: no such device"));
}
