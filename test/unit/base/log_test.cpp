#include "base/log.h"

#include <fcntl.h>
#include <unistd.h>

#include <catch2/catch.hpp>

#include "support/sandbox.h"

namespace {

// What goes to stderr while `speak` runs.
template <typename Speak>
std::string stderr_of(const Speak& speak) {
  const cni::test::TempDirectory directory;
  const std::string path = directory / "stderr";
  const int kept = ::dup(STDERR_FILENO);
  const int file = ::open(path.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
  REQUIRE(::dup2(file, STDERR_FILENO) == STDERR_FILENO);
  ::close(file);
  speak();
  ::dup2(kept, STDERR_FILENO);
  ::close(kept);
  return cni::test::read_whole_file(path);
}

}  // namespace

TEST_CASE("a log line names program and level", "[base]") {
  cni::log::set_program("bridge");
  CHECK(stderr_of([] { cni::log::warning("cannot set {} on '{}', ignoring", "mtu", "cni0"); }) ==
        "bridge: warning: cannot set mtu on 'cni0', ignoring\n");
  CHECK(stderr_of([] { cni::log::error("no"); }) == "bridge: error: no\n");
}

TEST_CASE("information is not printed unless asked for", "[base]") {
  CHECK(stderr_of([] {
          cni::log::info("made {}", 1);
          cni::log::debug("made {}", 2);
        }).empty());
  CHECK_FALSE(cni::log::enabled(cni::log::Level::kInfo));
  CHECK(cni::log::enabled(cni::log::Level::kWarning));
}

TEST_CASE("a log line is valid utf-8", "[base]") {
  cni::log::set_program("x");
  CHECK(stderr_of([] { cni::log::error("a\xff{}", "b"); }) ==
        "x: error: a\xef\xbf\xbd"
        "b\n");
}
