#include "netlink/netlink_socket.h"

#include <fcntl.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <pthread.h>
#include <sched.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <catch2/catch.hpp>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <functional>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "kernel/spoilt_calls.h"
#include "netlink/address.h"
#include "netlink/conntrack.h"
#include "netlink/link.h"
#include "netlink/message.h"
#include "netlink/route.h"
#include "support/two_namespaces.h"

using namespace cni::netlink;  // NOLINT(google-build-using-namespace)
using cni::Busy;
using cni::netns::Netns;
using cni::test::Calls;
using cni::test::Host;
using cni::test::Option;
using cni::test::Receive;
using cni::test::Send;
using cni::test::Spoilt;

namespace {

// Receives, and puts an error of the kernel in the place of what came.
ssize_t receive_error(const Receive& receive, int error_number) {
  const ssize_t size = receive.really();
  nlmsghdr header{};
  std::memcpy(&header, receive.buffer, sizeof header);
  header.nlmsg_type = NLMSG_ERROR;
  const int code = -error_number;
  std::memcpy(receive.buffer, &header, sizeof header);
  std::memcpy(receive.buffer + NLMSG_HDRLEN, &code, sizeof code);
  return size;
}

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

TEST_CASE("an interrupted list is read again, ten times at most", "[netlink]") {
  Host host;
  Socket socket = Socket::in(Netns::open(host.path()));
  int left = 9;
  int ends = 0;
  const Spoilt spoilt([&](const Receive& receive) {
    const ssize_t size = receive.really();
    nlmsghdr header{};
    std::memcpy(&header, receive.buffer, sizeof header);
    // The end comes in a datagram of its own: everything before it is read first.
    if (header.nlmsg_type != NLMSG_DONE) return size;
    ++ends;
    if (left-- > 0) header.nlmsg_flags |= NLM_F_DUMP_INTR;
    std::memcpy(receive.buffer, &header, sizeof header);
    return size;
  });
  CHECK(links(socket).size() == 1);
  CHECK(ends == 10);
  left = 10;
  CHECK_THROWS_WITH(links(socket), "list links: the answer changed while it was read");
  CHECK(links(socket).size() == 1);
}

TEST_CASE("an interrupted receive goes on", "[netlink]") {
  Host host;
  Socket socket = Socket::in(Netns::open(host.path()));
  int left = 3;
  int sends = 0;
  const Spoilt spoilt(
      [&](const Receive& receive) -> ssize_t {
        if (left-- <= 0) return receive.really();
        errno = EINTR;
        return -1;
      },
      [&](const Send&) { return ++sends, 0; });
  CHECK(get_link(socket, "lo").index == 1);
  CHECK(sends == 1);
}

TEST_CASE("a request that finds no room is sent again", "[netlink][bridge]") {
  Host host;
  Socket socket = Socket::in(Netns::open(host.path()));
  for (const int failure : {EINTR, ENOBUFS, EAGAIN, EBUSY}) {
    int left = 3;
    const Spoilt spoilt(nullptr, [&](const Send&) { return left-- > 0 ? failure : 0; });
    add_bridge(socket, {.name = "br" + std::to_string(failure)});
    CHECK(left < 0);
  }
  CHECK(links(socket).size() == 5);
  const Spoilt spoilt(nullptr, [](const Send&) { return EPERM; });
  CHECK_THROWS_WITH(add_bridge(socket, {.name = "br0"}),
                    "add bridge \"br0\": operation not permitted");
}

TEST_CASE("a busy kernel is asked again, but not for ever", "[netlink]") {
  Host host;
  Socket socket = Socket::in(Netns::open(host.path()));
  int left = 3;
  const Spoilt spoilt([&](const Receive& receive) {
    return left-- <= 0 ? receive.really() : receive_error(receive, EBUSY);
  });
  CHECK(get_link(socket, "lo").index == 1);
  left = 1'000'000;
  CHECK_THROWS_AS(get_link(socket, "lo"), Busy);
}

TEST_CASE("flows are deleted by a kernel that cannot choose them, and not without its module",
          "[netlink][conntrack]") {
  const Host host;
  const cni::test::Inside inside(host);
  const std::vector<FlowFilter> filters = {
      {.family = cni::inet::Family::kIpv4, .protocol = kProtocolUdp}};
  REQUIRE(delete_flows(filters) == 0);
  // What the kernel says to a filter it does not take, and to a subsystem it does not have.
  int refused = 0;
  int left = 1;
  const Spoilt spoilt([&](const Receive& receive) {
    if (left-- <= 0) return receive.really();
    ++refused;
    return receive_error(receive, EINVAL);
  });
  CHECK(delete_flows(filters) == 0);
  CHECK(refused == 1);
  left = 1'000'000;
  CHECK(delete_flows(filters) == std::nullopt);
}

TEST_CASE("a long list is visited without being held", "[netlink][veth]") {
  Host host;
  Socket socket = Socket::in(Netns::open(host.path()));
  make_veths(socket, 20);
  Message message(RTM_GETLINK, NLM_F_DUMP);
  message.put_header(ifinfomsg{});
  int visited = 0;
  const Outcome outcome = socket.visit(message, "list links", [&](const Answer& answer) {
    CHECK(answer.type == RTM_NEWLINK);
    ++visited;
  });
  CHECK(outcome.error_number == 0);
  CHECK(outcome.answers.empty());
  CHECK(visited == 41);
}

TEST_CASE("an answer longer than expected is asked for again", "[netlink]") {
  Host host;
  Socket socket = Socket::in(Netns::open(host.path()));
  int sends = 0;
  bool cut = true;
  std::size_t room = 0;
  const Spoilt spoilt(
      [&](const Receive& receive) -> ssize_t {
        room = receive.size;
        const ssize_t size = receive.really();
        return std::exchange(cut, false) ? 200'000 : size;
      },
      [&](const Send&) { return ++sends, 0; });
  CHECK(get_link(socket, "lo").index == 1);
  CHECK(sends == 2);
  CHECK(room >= 200'000);
}

TEST_CASE("the rest of an answer that was cut off is not waited for", "[netlink]") {
  Host host;
  Socket socket = Socket::in(Netns::open(host.path()));
  std::vector<bool> waited;
  const Spoilt spoilt([&](const Receive& receive) -> ssize_t {
    waited.push_back((receive.flags & MSG_DONTWAIT) == 0);
    const ssize_t size = receive.really();
    if (waited.size() > 1) return size;
    constexpr std::uint32_t kLong = 200'000;
    std::memcpy(receive.buffer, &kLong, sizeof kLong);  // nlmsg_len
    return kLong;
  });
  CHECK(get_link(socket, "lo").index == 1);
  CHECK(waited == std::vector{true, false, true});
}

TEST_CASE("only the kernel is listened to", "[netlink]") {
  Host host;
  Socket socket = Socket::in(Netns::open(host.path()));
  bool forge = true;
  const Spoilt spoilt([&](const Receive& receive) -> ssize_t {
    if (!std::exchange(forge, false)) return receive.really();
    // "No such device", from some process.
    nlmsghdr header{};
    header.nlmsg_len = NLMSG_HDRLEN + sizeof(nlmsgerr);
    header.nlmsg_type = NLMSG_ERROR;
    header.nlmsg_seq = 1;
    nlmsgerr error{};
    error.error = -ENODEV;
    std::memcpy(receive.buffer, &header, sizeof header);
    std::memcpy(receive.buffer + NLMSG_HDRLEN, &error, sizeof error);
    *receive.sender = {};
    receive.sender->nl_family = AF_NETLINK;
    receive.sender->nl_pid = 4711;
    return static_cast<ssize_t>(header.nlmsg_len);
  });
  CHECK(find_link(socket, "lo"));
}

TEST_CASE("kernels that cannot filter give the same lists", "[netlink][veth][ipv6]") {
  Host host;
  host.run("ip link add v0 type veth peer name c0");
  host.run("ip link set v0 up");
  host.run("ip link set c0 up");
  host.run("ip address add 10.1.2.3/24 dev v0");
  host.run("ip address add fd00::3/64 dev v0 nodad");
  host.run("ip route add 10.9.0.0/16 dev v0 table 100");
  std::optional<Spoilt> old(Calls{.set_option = [](const Option& option) {
    return option.level == SOL_NETLINK ? ENOPROTOOPT : 0;
  }});
  Socket socket = Socket::in(Netns::open(host.path()));
  old.reset();
  const int index = get_link(socket, "v0").index;
  const auto count = [&](const AddressFilter& filter) {
    return std::ranges::count_if(addresses(socket, filter), [](const InterfaceAddress& address) {
      return !address.network.address.is_link_local();
    });
  };
  CHECK(count({}) == 4);
  CHECK(count({.link_index = index}) == 2);
  CHECK(count({.link_index = index, .family = cni::inet::Family::kIpv6}) == 1);
  CHECK(count({.link_index = 4711}) == 0);
  CHECK(links(socket, {.kind = "veth"}).size() == 2);
  CHECK(routes(socket, {.table = 100}).size() == 1);
  CHECK(routes(socket, {.table = 101}).empty());
  CHECK_THROWS_WITH(add_bridge(socket, {.name = "v0"}), "add bridge \"v0\": file exists");
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
