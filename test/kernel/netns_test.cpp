#include "netns/netns.h"

#include <fcntl.h>
#include <sched.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <cerrno>
#include <stdexcept>
#include <string>
#include <thread>

#include "support/sandbox.h"
#include "support/two_namespaces.h"

using Catch::Matchers::Contains;
using Catch::Matchers::Equals;
using cni::netns::InvalidNetns;
using cni::netns::Netns;
using cni::netns::Scope;
using cni::test::Host;
using cni::test::TempDirectory;

namespace {

InvalidNetns failure_of(const std::string& path) {
  try {
    static_cast<void>(Netns::open(path));
  } catch (const InvalidNetns& error) {
    return error;
  }
  FAIL("this was opened as a namespace: " << path);
  throw std::logic_error("not reached");
}

std::string not_a_netns(const std::string& path) {
  return "failed to open netns \"" + path + "\": not a network namespace";
}

}  // namespace

TEST_CASE("a namespace is the same however it is reached", "[netns]") {
  Host host;
  const Netns one = Netns::open(host.path());
  CHECK(one.path() == host.path());
  CHECK(one == Netns::open(host.path()));
  CHECK_FALSE(one == Netns::own());
  CHECK(Netns::own() == Netns::open("/proc/self/ns/net"));
  CHECK((::fcntl(one.fd(), F_GETFD) & FD_CLOEXEC) != 0);
}

TEST_CASE("a namespace stays open when its path goes", "[netns]") {
  Host host;
  const Netns one = Netns::open(host.path());
  host.remove();
  const Scope scope(one);
  CHECK(Netns::own() == one);
}

TEST_CASE("a missing namespace is told in the words users know", "[netns]") {
  CHECK_THAT(failure_of("/run/netns/nope").what(),
             Equals("failed to open netns \"/run/netns/nope\": failed to Statfs "
                    "\"/run/netns/nope\": no such file or directory"));
  CHECK(failure_of("/run/netns/nope").number() == ENOENT);
  CHECK(failure_of("").number() == ENOENT);
  CHECK(failure_of("/dev/null/x").number() == ENOTDIR);
}

TEST_CASE("a file that is no namespace is told with its file system", "[netns]") {
  const TempDirectory directory;  // on tmpfs, 0x01021994
  const std::string file = directory.write("file", "");
  CHECK_THAT(failure_of(file).what(), Equals("failed to open netns \"" + file +
                                             "\": unknown FS magic on \"" + file + "\": 1021994"));
  CHECK_THAT(failure_of(directory.path()).what(), Contains("unknown FS magic"));

  const std::string fifo = directory / "fifo";
  REQUIRE(::mkfifo(fifo.c_str(), 0600) == 0);
  CHECK_THAT(failure_of(fifo).what(), Contains("unknown FS magic"));

  const std::string loop = directory / "loop";
  REQUIRE(::symlink(loop.c_str(), loop.c_str()) == 0);
  CHECK(failure_of(loop).number() == ELOOP);

  CHECK_THAT(failure_of("/dev/null").what(), Contains("unknown FS magic"));
}

TEST_CASE("other files of procfs and other namespaces are refused", "[netns]") {
  for (const std::string path : {"/proc", "/proc/self/mem", "/proc/self/ns", "/proc/self/ns/mnt",
                                 "/proc/self/ns/uts", "/proc/self/ns/user", "/proc/self/ns/pid"}) {
    CHECK(failure_of(path).what() == not_a_netns(path));
  }
}

TEST_CASE("a path with a NUL names nothing", "[netns]") {
  Host host;
  CHECK(failure_of(host.path() + std::string("\0x", 2)).number() == EINVAL);
}

TEST_CASE("only a path that does not exist is an absent namespace", "[netns]") {
  Host host;
  CHECK_FALSE(Netns::find(""));
  CHECK_FALSE(Netns::find("/run/netns/nope"));
  CHECK_FALSE(Netns::find("/dev/null/nope"));
  CHECK(Netns::find(host.path()));
  CHECK_THROWS_AS(Netns::find("/dev/null"), InvalidNetns);
  CHECK_THROWS_AS(Netns::find("/proc/self/ns/uts"), InvalidNetns);
}

TEST_CASE("a scope goes there and back, also when it is left by an exception", "[netns]") {
  Host host;
  const Netns home = Netns::own();
  const Netns other = Netns::open(host.path());
  try {
    const Scope scope(other);
    CHECK(Netns::own() == other);
    throw 1;
  } catch (int) {
    CHECK(Netns::own() == home);
  }
}

TEST_CASE("a scope moves its own thread only", "[netns]") {
  Host host;
  const Netns home = Netns::own();
  const Netns other = Netns::open(host.path());
  std::thread([&] {
    const Scope scope(other);
    CHECK(Netns::own() == other);
  }).join();
  CHECK(Netns::own() == home);
}

TEST_CASE("a scope in a namespace that may not be entered", "[netns]") {
  Host host;
  const Netns other = Netns::open(host.path());
  // A user namespace of its own takes the right over the old network namespace away. It wants a
  // process with one thread.
  const pid_t child = ::fork();
  if (child == 0) {
    if (::unshare(CLONE_NEWUSER) != 0) ::_exit(2);
    try {
      const Scope scope(other);
    } catch (const InvalidNetns& error) {
      const std::string expected = "enter netns \"" + other.path() + "\": operation not permitted";
      ::_exit(error.number() == EPERM && error.what() == expected ? 0 : 3);
    }
    ::_exit(4);
  }
  int status = 0;
  REQUIRE(::waitpid(child, &status, 0) == child);
  CHECK(WIFEXITED(status));
  CHECK(WEXITSTATUS(status) == 0);
}
