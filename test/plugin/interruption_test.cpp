// A runtime that gives up waiting sends SIGTERM. ADD while its IPAM plugin works is among the
// failures of attachment_rollback_test; every other moment is tried by test/faults.
#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <chrono>

#include "plugin/host_local_network.h"

using namespace cni::test;  // NOLINT(google-build-using-namespace)
using Catch::Matchers::Contains;

TEST_CASE("whoever waits for a lock can be interrupted", "[host-local][interruption]") {
  const AddressNetwork network(nlohmann::json{{"subnet", "10.1.2.0/28"}});
  network.added("c1");
  const auto before = network.reserved();
  const std::string verb = GENERATE("ADD", "DEL");
  const TempDirectory directory;
  // Becomes the plugin after it has made somebody who interrupts it.
  const std::string wrapper =
      directory.write("plugin",
                      "#!/bin/sh\n(sleep 0.2; kill -TERM $$) >/dev/null 2>&1 &\nexec " +
                          plugin_directory() + "/host-local-ipam\n",
                      0755);
  const int lock = ::open((network.directory() + "/lock").c_str(), O_RDONLY | O_CLOEXEC);
  REQUIRE(::flock(lock, LOCK_EX) == 0);
  const auto start = std::chrono::steady_clock::now();
  const PluginOutcome outcome = network.call({.verb = verb, .id = "c1", .plugin = wrapper});
  INFO(outcome.text());
  CHECK(outcome.status == 1);
  CHECK(outcome.code() == 11);
  CHECK_THAT(outcome.message(), Contains("interrupted by SIGTERM"));
  // It waits for 30 s by itself.
  CHECK(std::chrono::steady_clock::now() - start < std::chrono::seconds(15));
  CHECK(network.reserved() == before);
  ::close(lock);
}
