// What a plugin is asked, and what it refuses.
#include <fcntl.h>

#include <catch2/catch.hpp>
#include <string>
#include <thread>

#include "base/file.h"
#include "base/unique_fd.h"
#include "protocol/plugin.h"
#include "unit/protocol/probe.h"

using namespace cni::test;  // NOLINT(google-build-using-namespace)
using cni::Request;
using cni::UniqueFd;

TEST_CASE("the input is read to its end, however it comes", "[protocol]") {
  const IgnoredSigpipe ignored;
  Probe probe;
  Pipe pipe;
  std::thread writer([&] {
    try {
      for (const char byte : std::string(R"({"cniVersion":"1.1.0","name":"n","pad":")")) {
        cni::write_all(pipe.write.get(), std::string(1, byte), "pipe");
        std::this_thread::yield();
      }
      cni::write_all(pipe.write.get(), std::string(2'000'000, 'x') + "\"}", "pipe");
    } catch (const cni::IoError&) {
      // Nobody reads any more; the case says so.
    }
    pipe.write.reset();
  });
  const Answer answer = call(probe, variables("DEL"), pipe.read.get());
  pipe.read.reset();
  writer.join();
  CHECK(answer.status == 0);
  CHECK(probe.seen == Strings{"DEL"});
}

TEST_CASE("input that cannot be read is an I/O failure", "[protocol]") {
  Probe probe;
  const UniqueFd directory(::open("/", O_RDONLY | O_CLOEXEC));
  const UniqueFd write_only(::open("/dev/null", O_WRONLY | O_CLOEXEC));
  for (const int fd : {directory.get(), write_only.get(), -1}) {
    const Answer answer = call(probe, variables("ADD"), fd);
    CHECK(answer.status == 1);
    CHECK(answer.code() == 5);
    CHECK_THAT(answer.message(), Catch::StartsWith("error reading from stdin: "));
  }
  CHECK(probe.seen.empty());
}

TEST_CASE("input without end is refused", "[protocol]") {
  Probe probe;
  const UniqueFd zero(::open("/dev/zero", O_RDONLY | O_CLOEXEC));
  CHECK(call(probe, variables("ADD"), zero.get()).code() == 6);
  check_refused(probe, variables("ADD"), "[" + std::string(std::size_t{17} << 20U, ' ') + "]", 6);
}

TEST_CASE("a bad request is refused before anything happens", "[protocol]") {
  for (const char* command : {"ADD", "CHECK", "DEL", "GC", "STATUS"}) {
    INFO(command);
    Probe probe;
    const Variables good = variables(command);
    check_refused(probe, good, "", 6);
    check_refused(probe, good, "[]", 6);
    check_refused(probe, good, conf() + "x", 6);
    check_refused(probe, good, "null", 7);
    check_refused(probe, good, R"({"cniVersion":"1.1.0"})", 7);
    check_refused(probe, good, R"({"cniVersion":"1.1.0","name":"../x"})", 7);
    check_refused(probe, good, R"({"cniVersion":1,"name":"n"})", 6);
    check_refused(probe, good, conf("9.9.9"), 1);
    check_refused(probe, good, conf("1.0"), 1);
    check_refused(probe, good, conf("a.b.c"), 1);
  }
  for (const char* command : {"ADD", "CHECK", "DEL"}) {
    Probe probe;
    for (const char* name : {"CNI_CONTAINERID", "CNI_IFNAME"}) {
      Variables bad = variables(command);
      bad[name] = "a/b";
      check_refused(probe, bad, conf(), 4);
      bad[name] = "";
      check_refused(probe, bad, conf(), 4);
    }
  }
}

TEST_CASE("the environment is looked at before the input, the input before the command",
          "[protocol]") {
  Probe probe;
  check_refused(probe, {{"CNI_COMMAND", "ADD"}}, "", 4);
  for (const char* command : {"NOPE", "add", " ADD"}) {
    check_refused(probe, {{"CNI_COMMAND", command}}, "", 6);
    check_refused(probe, {{"CNI_COMMAND", command}}, "{}", 7);
    check_refused(probe, {{"CNI_COMMAND", command}}, conf(), 4);
    check_refused(probe, {{"CNI_COMMAND", command}}, conf("9.9.9"), 4);
  }
  CHECK(call(probe, {{"CNI_COMMAND", "add"}}, conf()).message() == "unknown CNI_COMMAND: add");
}

TEST_CASE("a command needs the version that brought it", "[protocol]") {
  const std::map<std::string, std::string> since = {
      {"CHECK", "0.4.0"}, {"GC", "1.1.0"}, {"STATUS", "1.1.0"}};
  for (const auto& [command, first] : since) {
    for (const std::string version :
         {"", "0.1.0", "0.2.0", "0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0"}) {
      INFO(command << " in " << version);
      Probe probe;
      if (version < first) {
        check_refused(probe, variables(command), conf(version), 1);
        CHECK(call(probe, variables(command), conf(version)).message() ==
              "config version does not allow " + command);
      } else {
        CHECK(call(probe, variables(command), conf(version)).status == 0);
        CHECK(probe.seen == Strings{command});
      }
    }
  }
}

TEST_CASE("GC and STATUS know no attachment", "[protocol]") {
  for (const char* command : {"GC", "STATUS"}) {
    Probe probe{.act = [](const Request& request) { CHECK_FALSE(request.netns.has_value()); },
                .netns = cni::NetnsUse::kEnters};
    for (const std::string& garbage : {std::string(), std::string("/garbage")}) {
      const Answer answer = call(probe,
                                 {{"CNI_COMMAND", command},
                                  {"CNI_PATH", "/x"},
                                  {"CNI_CONTAINERID", garbage},
                                  {"CNI_IFNAME", garbage},
                                  {"CNI_NETNS", garbage}},
                                 conf());
      CHECK(answer.status == 0);
    }
    CHECK(probe.seen == Strings{command, command});
  }
}

TEST_CASE("an operation gets the request", "[protocol]") {
  Probe probe{.result = with_address(), .act = [](const Request& request) {
                CHECK(request.command == cni::Command::kAdd);
                CHECK(request.version == cni::Version::k0_4_0);
                CHECK(request.attachment() == cni::Attachment{"c1", "eth0"});
                CHECK(request.environment.netns == "/absent");
                CHECK(request.environment.path == "/absent");
                CHECK(request.conf.name() == "n");
                CHECK(request.conf["x"].find_integer() == 1);
              }};
  CHECK(call(probe, variables("ADD"), R"({"cniVersion":"0.4.0","name":"n","x":1})").status == 0);
}
