#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <catch2/catch.hpp>
#include <cstring>
#include <vector>

#include "base/unique_fd.h"
#include "netlink/conntrack.h"
#include "netlink/listener.h"
#include "support/two_namespaces.h"

using namespace cni::netlink;  // NOLINT(google-build-using-namespace)
using cni::UniqueFd;
using cni::inet::Address;
using cni::inet::Family;
using cni::test::Host;
using cni::test::Inside;
using Listeners = std::vector<Listener>;

namespace {

void set_address(sockaddr_in6& where, const char* text) {
  ::inet_pton(AF_INET6, text, &where.sin6_addr);
}

// A socket of the namespace of this thread, bound and, for TCP, listening.
UniqueFd bound(int type, const char* address, std::uint16_t port, bool v6_only = false) {
  const bool v4 = std::strchr(address, ':') == nullptr;
  UniqueFd fd(::socket(v4 ? AF_INET : AF_INET6, type | SOCK_CLOEXEC, 0));
  int done = 0;
  if (v4) {
    sockaddr_in where{
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr = {}, .sin_zero = {}};
    ::inet_pton(AF_INET, address, &where.sin_addr);
    done = ::bind(fd.get(), reinterpret_cast<const sockaddr*>(&where), sizeof where);
  } else {
    const int only = v6_only ? 1 : 0;
    ::setsockopt(fd.get(), IPPROTO_IPV6, IPV6_V6ONLY, &only, sizeof only);
    sockaddr_in6 where{};
    where.sin6_family = AF_INET6;
    where.sin6_port = htons(port);
    set_address(where, address);
    done = ::bind(fd.get(), reinterpret_cast<const sockaddr*>(&where), sizeof where);
  }
  REQUIRE(done == 0);
  if (type == SOCK_STREAM) REQUIRE(::listen(fd.get(), 1) == 0);
  return fd;
}

Listener listener(const char* address, std::uint16_t port) {
  return {.address = *Address::parse(address), .port = port};
}

}  // namespace

TEST_CASE("sockets that listen are found by family, protocol and port", "[netlink]") {
  const Host host;
  const Inside inside(host);
  host.run("ip link set lo up");
  const std::vector<UniqueFd> sockets = [] {
    std::vector<UniqueFd> all;
    all.push_back(bound(SOCK_STREAM, "127.0.0.1", 80));
    all.push_back(bound(SOCK_STREAM, "::", 81));
    all.push_back(bound(SOCK_STREAM, "::", 82, true));
    all.push_back(bound(SOCK_STREAM, "::ffff:127.0.0.1", 83));
    all.push_back(bound(SOCK_STREAM, "::1", 84));
    all.push_back(bound(SOCK_STREAM, "0.0.0.0", 85));
    all.push_back(bound(SOCK_DGRAM, "127.0.0.1", 80));
    return all;
  }();
  Socket socket = Socket::here(Protocol::kSockets);
  CHECK(listeners(socket, Family::kIpv4, kProtocolTcp, 1, 65535) ==
        Listeners{listener("0.0.0.0", 81), listener("0.0.0.0", 85), listener("127.0.0.1", 80),
                  listener("127.0.0.1", 83)});
  CHECK(listeners(socket, Family::kIpv6, kProtocolTcp, 1, 65535) ==
        Listeners{listener("::", 81), listener("::", 82), listener("::1", 84)});
  CHECK(listeners(socket, Family::kIpv4, kProtocolUdp, 1, 65535) ==
        Listeners{listener("127.0.0.1", 80)});
  // Both ends belong to it.
  CHECK(listeners(socket, Family::kIpv6, kProtocolTcp, 82, 83) == Listeners{listener("::", 82)});
  CHECK(listeners(socket, Family::kIpv6, kProtocolTcp, 81, 82).size() == 2);
  CHECK(listeners(socket, Family::kIpv6, kProtocolUdp, 1, 65535).empty());
}

TEST_CASE("sockets that are connected do not listen", "[netlink]") {
  const Host host;
  const Inside inside(host);
  host.run("ip link set lo up");
  const UniqueFd fd = bound(SOCK_DGRAM, "127.0.0.1", 80);
  sockaddr_in peer{.sin_family = AF_INET, .sin_port = htons(90), .sin_addr = {}, .sin_zero = {}};
  ::inet_pton(AF_INET, "127.0.0.1", &peer.sin_addr);
  REQUIRE(::connect(fd.get(), reinterpret_cast<const sockaddr*>(&peer), sizeof peer) == 0);
  Socket socket = Socket::here(Protocol::kSockets);
  CHECK(listeners(socket, Family::kIpv4, kProtocolUdp, 1, 65535).empty());
}

TEST_CASE("a protocol whose sockets the kernel cannot list has none", "[netlink]") {
  const Host host;
  const Inside inside(host);
  Socket socket = Socket::here(Protocol::kSockets);
  CHECK(listeners(socket, Family::kIpv4, 250, 1, 65535).empty());
}
