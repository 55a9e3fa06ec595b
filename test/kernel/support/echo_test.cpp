#include "support/echo.h"

#include <catch2/catch.hpp>
#include <chrono>

#include "support/sandbox.h"
#include "support/two_namespaces.h"

using Catch::Contains;
using namespace cni::test;  // NOLINT(google-build-using-namespace)
using namespace std::chrono_literals;

namespace {

void check_protocol(Protocol protocol) {
  const Host host;
  host.run("ip address add 192.0.2.1/24 dev lo");
  EchoServers servers;
  servers.serve_everywhere(host, "all", protocol, 80);
  servers.serve(host, "one", protocol, "192.0.2.1", 81);
  for (const char* address : {"127.0.0.1", "::1"}) {
    INFO(name_of(protocol) << " " << address);
    const Question question{.to = address, .port = 80, .protocol = protocol};
    CHECK(ask(host, question).text() == std::string("all saw ") + address);
    CHECK(ask(host, {.to = address, .port = 81, .protocol = protocol}).who == "refused");
  }
  servers.stop("all");
  CHECK(ask(host, {.to = "127.0.0.1", .port = 80, .protocol = protocol}).who == "refused");
  CHECK(ask(host, {.to = "192.0.2.1", .port = 81, .protocol = protocol}).who == "one");
}

// SCTP chooses addresses of both ends by itself.
void check_chosen_source(Protocol protocol) {
  const Host host;
  host.run("ip address add 192.0.2.1/24 dev lo");
  EchoServers servers;
  servers.serve_everywhere(host, "all", protocol, 80);
  servers.serve(host, "one", protocol, "192.0.2.1", 81);
  const Answer answer = ask(host, {.to = "192.0.2.1",
                                   .port = 81,
                                   .protocol = protocol,
                                   .from = "127.0.0.9",
                                   .from_port = 4321});
  CHECK(answer.text() == "one saw 127.0.0.9");
  CHECK(answer.port == 4321);

  // A server at every address answers from the one that was asked.
  CHECK(ask(host, {.to = "192.0.2.1", .port = 80, .protocol = protocol, .from = "127.0.0.9"})
            .text() == "all saw 127.0.0.9");

  host.run("ip route add blackhole 198.51.100.0/24");
  CHECK_THAT(ask(host, {.to = "198.51.100.1", .port = 80, .protocol = protocol}).who,
             Contains("Invalid argument"));
}

}  // namespace

TEST_CASE("an echo server tells who asked, by tcp and udp", "[support]") {
  check_protocol(Protocol::kTcp);
  check_chosen_source(Protocol::kTcp);
  check_protocol(Protocol::kUdp);
  check_chosen_source(Protocol::kUdp);
}

TEST_CASE("an echo server tells who asked, by sctp", "[support][sctp]") {
  check_protocol(Protocol::kSctp);
}

TEST_CASE("a question that nobody answers ends with its limit", "[support][veth]") {
  Host host;
  Namespace& peer = host.add_container();
  host.run("ip link add up0 type veth peer name eth0 netns " + peer.path());
  for (const Namespace* each : {static_cast<Namespace*>(&host), &peer}) {
    each->run(each == &peer ? "ip link set eth0 up" : "ip link set up0 up");
  }
  host.run("ip address add 192.0.2.1/24 dev up0");
  // Nobody has that address, and whoever waits for it does not know yet.
  for (const Protocol protocol : {Protocol::kTcp, Protocol::kUdp}) {
    const auto begin = std::chrono::steady_clock::now();
    CHECK(ask(host, {.to = "192.0.2.2", .port = 80, .protocol = protocol, .limit = 60ms}).who ==
          "silence");
    CHECK(std::chrono::steady_clock::now() - begin >= 60ms);
  }
}

TEST_CASE("a name that ends frees the namespace of its sockets", "[support][veth]") {
  EchoServers servers;
  Host host;
  Namespace& container = host.add_container();
  host.run("ip link add h0 type veth peer name c0 netns " + container.path());
  servers.serve_everywhere(container, "pod", Protocol::kTcp, 80);
  container.remove();
  CHECK(host.has_link("h0"));
  servers.stop("pod");
  // The kernel takes namespaces down on its own time.
  const auto end = std::chrono::steady_clock::now() + 5s;
  while (host.has_link("h0") && std::chrono::steady_clock::now() < end) {
  }
  CHECK_FALSE(host.has_link("h0"));
}

TEST_CASE("waiting for an answer gives up with a reason", "[support]") {
  const Host host;
  EchoServers servers;
  servers.serve(host, "one", Protocol::kUdp, "127.0.0.1", 80);
  CHECK_NOTHROW(wait_for_answer(host, {.to = "127.0.0.1", .port = 80, .protocol = Protocol::kUdp}));
  CHECK_THROWS_WITH(
      wait_for_answer(host, {.to = "127.0.0.1", .port = 81, .protocol = Protocol::kUdp}, 20ms),
      "nobody answers at 127.0.0.1 81: refused");
}
