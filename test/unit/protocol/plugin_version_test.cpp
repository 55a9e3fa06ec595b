// VERSION, and a plugin that is called by hand.
#include <fcntl.h>

#include <catch2/catch.hpp>
#include <string>

#include "base/file.h"
#include "base/unique_fd.h"
#include "protocol/plugin.h"
#include "unit/protocol/probe.h"

using namespace cni::test;  // NOLINT(google-build-using-namespace)
using cni::UniqueFd;

namespace {

const std::string kVersions =
    R"({"cniVersion":"1.1.0","supportedVersions":["0.1.0","0.2.0","0.3.0","0.3.1","0.4.0","1.0.0","1.1.0"]})"
    "\n";

}  // namespace

TEST_CASE("without a command a plugin tells about itself", "[protocol]") {
  Probe probe;
  // A directory: reading would fail.
  const UniqueFd unreadable(::open("/", O_RDONLY | O_CLOEXEC));
  for (const Variables& environment :
       {Variables{}, Variables{{"CNI_COMMAND", ""}, {"CNI_IFNAME", "a/b"}}}) {
    const Answer answer = call(probe, environment, unreadable.get());
    CHECK(answer.status == 0);
    CHECK(answer.out.empty());
    CHECK(answer.err == "CNI probe plugin " CNI_BUILD_VERSION
                        "\nCNI protocol versions supported: 0.1.0, 0.2.0, 0.3.0, 0.3.1, 0.4.0, "
                        "1.0.0, 1.1.0\n");
    CHECK(probe.seen.empty());
  }
}

TEST_CASE("VERSION answers in the version it is asked in", "[protocol]") {
  for (const char* version : {"0.1.0", "0.2.0", "0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0"}) {
    Probe probe;
    const Answer answer = call(probe, {{"CNI_COMMAND", "VERSION"}},
                               R"({"cniVersion":")" + std::string(version) + "\"}");
    CHECK(answer.status == 0);
    CHECK(answer.json()["cniVersion"] == version);
    CHECK(answer.json()["supportedVersions"].size() == 7);
    CHECK(answer.out.find('\n') == answer.out.size() - 1);
    CHECK(probe.seen.empty());
  }
}

TEST_CASE("VERSION takes anything for input", "[protocol]") {
  for (const std::string input :
       {"", "x", "{", "[]", "null", "1", "{}", R"({"cniVersion":1})", R"({"cniVersion":null})",
        R"({"cniVersion":"9.9.9"})", "{\"cniVersion\":\"0.4.0\"}x", "\xff\xfe"}) {
    INFO(input);
    Probe probe;
    const Answer answer = call(probe, {{"CNI_COMMAND", "VERSION"}}, input);
    CHECK(answer.status == 0);
    CHECK(answer.out == kVersions);
  }
}

TEST_CASE("VERSION does not depend on its input being there", "[protocol]") {
  Probe probe;
  const Variables environment = {{"CNI_COMMAND", "VERSION"}};
  Pipe pipe;
  SECTION("a pipe that nobody writes to") {
    CHECK(call(probe, environment, pipe.read.get()).out == kVersions);
  }
  SECTION("half a document and then nothing") {
    cni::write_all(pipe.write.get(), R"({"cniVersion":)", "pipe");
    CHECK(call(probe, environment, pipe.read.get()).out == kVersions);
  }
  SECTION("a document on a pipe that stays open") {
    cni::write_all(pipe.write.get(), R"({"cniVersion":"0.4.0"})", "pipe");
    CHECK(call(probe, environment, pipe.read.get()).json()["cniVersion"] == "0.4.0");
  }
  SECTION("a pipe nobody can write to any more") {
    pipe.write.reset();
    CHECK(call(probe, environment, pipe.read.get()).out == kVersions);
  }
  SECTION("the wrong end of a pipe") {
    CHECK(call(probe, environment, pipe.write.get()).out == kVersions);
  }
  SECTION("closed") {
    CHECK(call(probe, environment, -1).out == kVersions);
  }
  SECTION("a directory") {
    const UniqueFd directory(::open("/", O_RDONLY | O_CLOEXEC));
    CHECK(call(probe, environment, directory.get()).out == kVersions);
  }
  SECTION("more than is ever read") {
    const UniqueFd zero(::open("/dev/zero", O_RDONLY | O_CLOEXEC));
    CHECK(call(probe, environment, zero.get()).out == kVersions);
  }
}

TEST_CASE("VERSION with a full stdout fails", "[protocol]") {
  Probe probe;
  const UniqueFd full(::open("/dev/full", O_WRONLY | O_CLOEXEC));
  CHECK(status_with_stdout(probe, {{"CNI_COMMAND", "VERSION"}}, "", full.get()) == 1);
}
