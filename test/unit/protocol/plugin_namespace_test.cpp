// The network namespace of a request.
#include <sys/stat.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <string>

#include "protocol/error.h"
#include "protocol/plugin.h"
#include "support/sandbox.h"
#include "unit/protocol/probe.h"

using namespace cni::test;  // NOLINT(google-build-using-namespace)
using cni::Code;
using cni::Error;
using cni::Request;

namespace {

const std::string kOwnNetns = "/proc/self/ns/net";

}  // namespace

TEST_CASE("ADD and CHECK in the plugin's own namespace are refused", "[protocol]") {
  for (const cni::NetnsUse use : {cni::NetnsUse::kEnters, cni::NetnsUse::kIgnores}) {
    for (const char* command : {"ADD", "CHECK"}) {
      Probe probe{.netns = use};
      check_refused(probe, variables(command, kOwnNetns), conf(), 8);
      CHECK(call(probe, variables(command, kOwnNetns), conf()).message() ==
            "plugin's netns and netns from CNI_NETNS should not be the same");
    }
  }
}

TEST_CASE("DEL in the plugin's own namespace cleans the host side and then complains",
          "[protocol]") {
  Probe probe{.act = [](const Request& request) { CHECK_FALSE(request.netns.has_value()); },
              .netns = cni::NetnsUse::kEnters};
  const Answer answer = call(probe, variables("DEL", kOwnNetns), conf());
  CHECK(answer.status == 1);
  CHECK(answer.code() == 8);
  CHECK(probe.seen == Strings{"DEL"});

  Probe failing{.act = [](const Request&) { throw Error(Code::kTryAgainLater, "x"); },
                .netns = cni::NetnsUse::kEnters};
  CHECK(call(failing, variables("DEL", kOwnNetns), conf()).code() == 11);
}

TEST_CASE("the override allows the plugin's own namespace", "[protocol]") {
  for (const char* command : {"ADD", "CHECK", "DEL"}) {
    Probe probe{.act =
                    [](const Request& request) {
                      REQUIRE(request.netns.has_value());
                      CHECK(*request.netns == cni::netns::Netns::own());
                    },
                .netns = cni::NetnsUse::kEnters};
    Variables environment = variables(command, kOwnNetns);
    environment["CNI_NETNS_OVERRIDE"] = "TRUE";
    CHECK(call(probe, environment, conf()).status == 0);
    CHECK(probe.seen == Strings{command});
  }
}

TEST_CASE("a path that is no network namespace", "[protocol]") {
  const TempDirectory directory;
  REQUIRE(::mkfifo((directory / "fifo").c_str(), 0600) == 0);
  REQUIRE(::symlink("loop", (directory / "loop").c_str()) == 0);
  directory.write("file", "x");
  for (const std::string& path :
       {directory / "absent", directory / "file", directory / "file/below", directory.path(),
        directory / "fifo", directory / "loop", std::string("/dev/null"), std::string("/dev/tty"),
        std::string("relative"), std::string("/proc/self/ns/mnt"),
        std::string("/proc/self/ns/user"), std::string("/proc/self/mem"), std::string(5000, 'x')}) {
    INFO(path);
    for (const char* command : {"ADD", "CHECK"}) {
      Probe probe{.netns = cni::NetnsUse::kEnters};
      check_refused(probe, variables(command, path), conf(), 8);
    }
    Probe probe{.act = [](const Request& request) { CHECK_FALSE(request.netns.has_value()); },
                .netns = cni::NetnsUse::kEnters};
    const Answer answer = call(probe, variables("DEL", path), conf());
    CHECK(answer.status == 0);
    CHECK(answer.out.empty());
    CHECK(probe.seen == Strings{"DEL"});
  }
}

TEST_CASE("DEL needs no namespace", "[protocol]") {
  Probe probe{.netns = cni::NetnsUse::kEnters};
  CHECK(call(probe, variables("DEL", ""), conf()).status == 0);
  CHECK(probe.seen == Strings{"DEL"});
}

TEST_CASE("an IPAM plugin does not care what CNI_NETNS names", "[protocol]") {
  const TempDirectory directory;
  for (const char* command : {"ADD", "CHECK", "DEL"}) {
    Probe probe{.act = [](const Request& request) { CHECK_FALSE(request.netns.has_value()); }};
    CHECK(call(probe, variables(command, directory.path()), conf()).status == 0);
    CHECK(call(probe, variables(command, "/absent"), conf()).status == 0);
    CHECK(probe.seen == Strings{command, command});
  }
}

TEST_CASE("lo cannot be made", "[protocol]") {
  Variables environment = variables("ADD");
  environment["CNI_IFNAME"] = "lo";
  Probe maker{.makes_interface = true};
  check_refused(maker, environment, conf(), 4);
  Probe other;
  CHECK(call(other, environment, conf()).status == 0);
}
