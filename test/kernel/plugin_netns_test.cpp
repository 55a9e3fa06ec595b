// How the frame of a plugin opens CNI_NETNS.
#include <sys/mman.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <map>

#include "base/file.h"
#include "base/unique_fd.h"
#include "protocol/plugin.h"
#include "support/two_namespaces.h"

using cni::Request;
using cni::UniqueFd;
using cni::netns::Netns;
using cni::test::Host;
using cni::test::Namespace;

namespace {

// Calls `act` as the given operation of a plugin; returns stdout.
std::string call(const std::string& command, const std::string& netns,
                 const std::function<void(const Request&)>& act) {
  const cni::Plugin plugin = {
      .name = "probe",
      .add =
          [&](const Request& request, cni::Undo&) {
            act(request);
            return cni::Result{};
          },
      .check = act,
      .del = act,
      .status = act,
      .gc = act,
  };
  const std::map<std::string, std::string> variables = {{"CNI_COMMAND", command},
                                                        {"CNI_CONTAINERID", "c1"},
                                                        {"CNI_NETNS", netns},
                                                        {"CNI_IFNAME", "eth0"},
                                                        {"CNI_PATH", "/absent"}};
  const UniqueFd in(::memfd_create("in", MFD_CLOEXEC));
  const UniqueFd out(::memfd_create("out", MFD_CLOEXEC));
  cni::write_all(in.get(), R"({"cniVersion":"1.1.0","name":"n"})", "in");
  ::lseek(in.get(), 0, SEEK_SET);
  cni::run_plugin(plugin, {.variable =
                               [&](const char* name) {
                                 const auto found = variables.find(name);
                                 return found == variables.end() ? "" : found->second;
                               },
                           .in = in.get(),
                           .out = out.get(),
                           .err = STDERR_FILENO});
  ::lseek(out.get(), 0, SEEK_SET);
  return cni::read_all(out.get(), 100'000, "out");
}

}  // namespace

TEST_CASE("an operation gets the container's namespace, open", "[netns]") {
  Host host;
  const Namespace& container = host.add_container();
  for (const std::string command : {"ADD", "CHECK", "DEL"}) {
    host.in([&] {
      int calls = 0;
      const std::string out = call(command, container.path(), [&](const Request& request) {
        ++calls;
        REQUIRE(request.netns.has_value());
        CHECK(*request.netns == Netns::open(container.path()));
        CHECK_FALSE(*request.netns == Netns::own());
        CHECK(request.netns->path() == container.path());
      });
      CHECK(calls == 1);
      CHECK(out.empty() == (command != "ADD"));
    });
  }
}

TEST_CASE("DEL goes on when the namespace has gone", "[netns]") {
  Host host;
  Namespace& container = host.add_container();
  container.remove();
  host.in([&] {
    int calls = 0;
    const std::string out = call("DEL", container.path(), [&](const Request& request) {
      ++calls;
      CHECK_FALSE(request.netns.has_value());
    });
    CHECK(calls == 1);
    CHECK(out.empty());
  });
}

TEST_CASE("the own namespace is known by any path", "[netns]") {
  Host host;
  host.in([&] {
    const std::string out =
        call("ADD", host.path(), [](const Request&) { FAIL("the operation was called"); });
    CHECK(out.find("\"code\": 8") != std::string::npos);
  });
}
