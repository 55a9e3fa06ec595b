#include <catch2/catch.hpp>
#include <chrono>
#include <string>
#include <thread>

#include "netlink/address.h"
#include "netlink/link.h"
#include "netlink/link_watch.h"
#include "support/two_namespaces.h"

using namespace cni::netlink;  // NOLINT(google-build-using-namespace)
using cni::Deadline;
using cni::netns::Netns;
using cni::test::Host;
using namespace std::chrono_literals;

namespace {

// Long enough for any machine; a test that needs it all has failed.
constexpr auto kLong = 30s;

}  // namespace

TEST_CASE("a change is awaited", "[netlink][veth]") {
  Host host;
  const Netns netns = Netns::open(host.path());
  Socket socket = Socket::in(netns);
  LinkWatch watch = LinkWatch::in(netns);
  add_veth(socket, {.host = {.name = "v0"}, .container = {.name = "c0"}});
  std::thread later([&] {
    Socket own = Socket::in(netns);
    change_link(own, get_link(own, "v0"), {.up = true});
    change_link(own, get_link(own, "c0"), {.up = true});
  });
  int asked = 0;
  CHECK(watch.wait_until(
      [&] {
        ++asked;
        return get_link(socket, "v0").oper_state == OperState::kUp;
      },
      Deadline::in(kLong)));
  later.join();
  CHECK(asked < 100);  // by events, not in a busy loop
}

TEST_CASE("duplicate address detection is awaited", "[netlink][veth][ipv6]") {
  Host host;
  const Netns netns = Netns::open(host.path());
  Socket socket = Socket::in(netns);
  add_veth(socket, {.host = {.name = "v0"}, .container = {.name = "c0"}});
  for (const char* name : {"v0", "c0"}) change_link(socket, get_link(socket, name), {.up = true});
  LinkWatch watch = LinkWatch::in(netns);
  const Link link = get_link(socket, "v0");
  add_address(socket, link, *cni::inet::Network::parse("fd00::1/64"));
  const auto settled = [&] {
    for (const InterfaceAddress& address : addresses(socket, {.link_index = link.index})) {
      if (address.tentative) return false;
    }
    return true;
  };
  CHECK_FALSE(settled());
  CHECK(watch.wait_until(settled, Deadline::in(kLong)));
}

TEST_CASE("an IPv4 address is awaited", "[netlink]") {
  Host host;
  const Netns netns = Netns::open(host.path());
  Socket socket = Socket::in(netns);
  LinkWatch watch = LinkWatch::in(netns);
  std::thread later([&] {
    Socket own = Socket::in(netns);
    add_address(own, get_link(own, "lo"), *cni::inet::Network::parse("10.1.2.3/32"));
  });
  const auto there = [&] { return addresses(socket, {.link_index = 1}).size() == 3; };
  CHECK(watch.wait_until(there, Deadline::in(kLong)));
  later.join();
}

TEST_CASE("a watch asks at once and at the end", "[netlink]") {
  Host host;
  LinkWatch watch = LinkWatch::in(Netns::open(host.path()));
  int asked = 0;
  CHECK(watch.wait_until([&] { return ++asked == 1; }, Deadline::in(kLong)));
  asked = 0;
  CHECK_FALSE(watch.wait_until([&] { return ++asked == 7; }, Deadline::in(20ms)));
  CHECK(asked == 2);
  asked = 0;
  CHECK(watch.wait_until([&] { return ++asked == 2; }, Deadline::in(20ms)));
}

TEST_CASE("a watch survives more changes than it can hold", "[netlink][veth]") {
  Host host;
  const Netns netns = Netns::open(host.path());
  Socket socket = Socket::in(netns);
  LinkWatch watch = LinkWatch::in(netns);
  for (int at = 0; at < 200; ++at) {
    add_veth(socket, {.host = {.name = "v" + std::to_string(at)},
                      .container = {.name = "c" + std::to_string(at)}});
  }
  CHECK(
      watch.wait_until([&] { return find_link(socket, "v199").has_value(); }, Deadline::in(kLong)));
  int asked = 0;
  CHECK_FALSE(watch.wait_until([&] { return ++asked > 1000; }, Deadline::in(20ms)));
}

TEST_CASE("a failing question ends the wait", "[netlink]") {
  Host host;
  const Netns netns = Netns::open(host.path());
  Socket socket = Socket::in(netns);
  LinkWatch watch = LinkWatch::in(netns);
  CHECK_THROWS_WITH(
      watch.wait_until([&] { return get_link(socket, "gone").up; }, Deadline::in(kLong)),
      "link \"gone\": Link not found");
}
