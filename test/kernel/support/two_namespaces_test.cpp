#include "support/two_namespaces.h"

#include <sys/stat.h>

#include <catch2/catch.hpp>

#include "support/sandbox.h"

using cni::test::Host;
using cni::test::Inside;
using cni::test::Namespace;

namespace {

// Identity of the network namespace of the calling thread.
ino_t current() {
  struct stat status{};
  REQUIRE(::stat("/proc/thread-self/ns/net", &status) == 0);
  return status.st_ino;
}

}  // namespace

TEST_CASE("host and containers are different namespaces", "[support]") {
  Host host;
  Namespace& one = host.add_container();
  Namespace& two = host.add_container();
  CHECK(one.path() != two.path());
  ino_t seen = 0;
  one.in([&] { seen = current(); });
  CHECK(seen != current());
  one.run("ip link add only-here type veth peer name v1");
  CHECK(one.has_link("only-here"));
  CHECK_FALSE(two.has_link("only-here"));
  CHECK_FALSE(host.has_link("only-here"));
}

TEST_CASE("the loopback interface is up on the host only", "[support]") {
  Host host;
  Namespace& container = host.add_container();
  CHECK(host.run("ip -o link show lo").find("UP") != std::string::npos);
  CHECK(container.run("ip -o link show lo").find(",UP") == std::string::npos);
}

TEST_CASE("inside a namespace, and home again", "[support]") {
  const Namespace other("other");
  const ino_t home = current();
  {
    const Inside inside(other);
    CHECK(current() != home);
  }
  CHECK(current() == home);
}

TEST_CASE("a removed namespace has no file left", "[support]") {
  std::string path;
  {
    Namespace gone("gone");
    path = gone.path();
    CHECK(::access(path.c_str(), F_OK) == 0);
  }
  CHECK(::access(path.c_str(), F_OK) != 0);
}

TEST_CASE("a failure inside a namespace comes back", "[support]") {
  const Namespace other("other");
  CHECK_THROWS_WITH(other.in([] { throw std::runtime_error("inside"); }), "inside");
  CHECK_THROWS(other.run("ip link show dev no-such-link"));
}
