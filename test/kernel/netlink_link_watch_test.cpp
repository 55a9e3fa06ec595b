#include <algorithm>
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

TEST_CASE("a change of a link ends the wait", "[netlink][veth]") {
  Host host;
  const Netns netns = Netns::open(host.path());
  Socket socket = Socket::in(netns);
  add_veth(socket, {.host = {.name = "v0"}, .container = {.name = "c0"}});
  LinkWatch watch = LinkWatch::in(netns);
  int asked = 0;
  const Deadline deadline = Deadline::in(kLong);
  CHECK(watch.wait_until(
      [&] {
        const Link link = get_link(socket, "v0");
        if (++asked == 1) change_link(socket, link, {.mtu = 1400});
        return link.mtu == 1400;
      },
      deadline));
  CHECK_FALSE(deadline.passed());
  CHECK(asked == 2);
}

TEST_CASE("both ends of a veth come up", "[netlink][veth]") {
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
  const Deadline deadline = Deadline::in(kLong);
  int asked = 0;
  CHECK(watch.wait_until(
      [&] {
        ++asked;
        return get_link(socket, "v0").oper_state == OperState::kUp;
      },
      deadline));
  later.join();
  CHECK_FALSE(deadline.passed());
  CHECK(asked < 100);  // by events, not in a busy loop
}

TEST_CASE("the end of duplicate address detection ends the wait", "[netlink][veth][ipv6]") {
  Host host;
  const Netns netns = Netns::open(host.path());
  Socket socket = Socket::in(netns);
  add_veth(socket, {.host = {.name = "v0"}, .container = {.name = "c0"}});
  for (const char* name : {"v0", "c0"}) change_link(socket, get_link(socket, name), {.up = true});
  LinkWatch watch = LinkWatch::in(netns);
  const Link link = get_link(socket, "v0");
  add_address(socket, link, *cni::inet::Network::parse("fd00::1/64"));
  const auto settled = [&] {
    return std::ranges::none_of(addresses(socket, {.link_index = link.index}),
                                &InterfaceAddress::tentative);
  };
  CHECK_FALSE(settled());
  const Deadline deadline = Deadline::in(kLong);
  CHECK(watch.wait_until(settled, deadline));
  CHECK_FALSE(deadline.passed());
}

TEST_CASE("an IPv4 address ends the wait", "[netlink]") {
  Host host;
  const Netns netns = Netns::open(host.path());
  Socket socket = Socket::in(netns);
  LinkWatch watch = LinkWatch::in(netns);
  bool added = false;
  const Deadline deadline = Deadline::in(kLong);
  CHECK(watch.wait_until(
      [&] {
        if (added) return true;
        add_address(socket, get_link(socket, "lo"), *cni::inet::Network::parse("10.1.2.3/32"));
        added = true;
        return false;
      },
      deadline));
  CHECK_FALSE(deadline.passed());
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
