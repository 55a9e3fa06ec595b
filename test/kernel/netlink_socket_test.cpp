#include "netlink/netlink_socket.h"

#include <fcntl.h>
#include <linux/rtnetlink.h>
#include <pthread.h>
#include <sched.h>
#include <sys/socket.h>

#include <atomic>
#include <catch2/catch.hpp>
#include <cerrno>
#include <csignal>
#include <string>
#include <thread>

#include "netlink/address.h"
#include "netlink/link.h"
#include "netlink/message.h"
#include "support/two_namespaces.h"

using namespace cni::netlink;  // NOLINT(google-build-using-namespace)
using cni::Busy;
using cni::netns::Netns;
using cni::test::Host;

namespace {

void make_veths(Socket& socket, int count) {
  for (int at = 0; at < count; ++at) {
    add_veth(socket, {.host = {.name = "v" + std::to_string(at)},
                      .container = {.name = "c" + std::to_string(at)}});
  }
}

// Fills the receive buffer with an answer that nobody waits for, so that the next one is lost.
void lose_next_answer(Socket& socket) {
  constexpr int kLeast = 1;  // the kernel makes it some 2 KiB
  REQUIRE(::setsockopt(socket.fd(), SOL_SOCKET, SO_RCVBUF, &kLeast, sizeof kLeast) == 0);
  Message message(RTM_GETLINK, NLM_F_DUMP);
  message.put_header(ifinfomsg{});
  message.header()->nlmsg_seq = 0xfffffff0;
  REQUIRE(::send(socket.fd(), message.header(), message.header()->nlmsg_len, 0) > 0);
}

}  // namespace

TEST_CASE("a socket is not passed on to other programs", "[netlink]") {
  const Socket socket = Socket::here();
  CHECK((::fcntl(socket.fd(), F_GETFD) & FD_CLOEXEC) != 0);
}

TEST_CASE("many sockets of one process live side by side", "[netlink]") {
  std::vector<Socket> sockets;
  for (int at = 0; at < 50; ++at) sockets.push_back(Socket::here());
  for (Socket& socket : sockets) CHECK(get_link(socket, "lo").index == 1);
}

TEST_CASE("a question whose answer was lost is asked again", "[netlink][veth]") {
  Host host;
  Socket socket = Socket::in(Netns::open(host.path()));
  make_veths(socket, 20);
  lose_next_answer(socket);
  CHECK(addresses(socket).size() == 2);
}

TEST_CASE("a change whose answer was lost is never taken for another's",
          "[netlink][veth][bridge]") {
  Host host;
  Socket socket = Socket::in(Netns::open(host.path()));
  make_veths(socket, 20);
  lose_next_answer(socket);
  CHECK_THROWS_AS(add_bridge(socket, {.name = "br0"}), Busy);
  CHECK(host.has_link("br0"));

  Socket other = Socket::in(Netns::open(host.path()));
  lose_next_answer(other);
  change_link(other, get_link(socket, "br0"), {.mtu = 1300});
  CHECK(get_link(socket, "br0").mtu == 1300);
}

TEST_CASE("lists stay whole while links come and go", "[netlink][veth]") {
  Host host;
  const Netns netns = Netns::open(host.path());
  Socket socket = Socket::in(netns);
  make_veths(socket, 60);
  std::atomic<bool> stop = false;
  std::thread churn([&] {
    Socket own = Socket::in(netns);
    while (!stop) {
      add_veth(own, {.host = {.name = "churn"}, .container = {.name = "churn1"}});
      delete_link_if_exists(own, "churn");
    }
  });
  int whole = 0;
  for (int at = 0; at < 100; ++at) {
    try {
      const std::vector<Link> found = links(socket, {.kind = "veth"});
      const auto lasting = std::ranges::count_if(
          found, [](const Link& link) { return !link.name.starts_with("churn"); });
      CHECK(lasting == 120);
      ++whole;
    } catch (const Busy&) {
      // The other honest answer.
    }
  }
  stop = true;
  churn.join();
  CHECK(whole > 0);
}

TEST_CASE("signals do not disturb a request", "[netlink][veth]") {
  Host host;
  Socket socket = Socket::in(Netns::open(host.path()));
  make_veths(socket, 30);
  struct sigaction action{};
  struct sigaction before{};
  action.sa_handler = [](int) {};  // without SA_RESTART
  REQUIRE(::sigaction(SIGUSR1, &action, &before) == 0);
  std::atomic<bool> stop = false;
  const pthread_t target = ::pthread_self();
  std::thread sender([&] {
    while (!stop) {
      ::pthread_kill(target, SIGUSR1);
      ::sched_yield();
    }
  });
  for (int at = 0; at < 50; ++at) CHECK(links(socket).size() == 61);
  stop = true;
  sender.join();
  ::sigaction(SIGUSR1, &before, nullptr);
}

TEST_CASE("what the kernel never allows is refused with its words", "[netlink]") {
  Host host;
  Socket socket = Socket::in(Netns::open(host.path()));
  Message message(RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL);
  message.put_header(ifinfomsg{});
  message.nest(IFLA_LINKINFO, [&] { message.put_text(IFLA_INFO_KIND, "no-such-kind"); });
  CHECK_THROWS_WITH(socket.request(message, "add link \"x\""),
                    "add link \"x\": operation not supported (Unknown device type)");
  CHECK_FALSE(socket.try_change(message, "add link", {EOPNOTSUPP}));
  CHECK_THROWS_AS(socket.try_change(message, "add link", {EEXIST}), KernelError);
  CHECK(socket.exchange(message, "add link").error_number == EOPNOTSUPP);
}
