#include "protocol/plugin.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <catch2/catch.hpp>
#include <chrono>
#include <csignal>
#include <map>
#include <thread>

#include "base/best_effort.h"
#include "base/error.h"
#include "base/file.h"
#include "base/unique_fd.h"
#include "protocol/error.h"
#include "support/sandbox.h"

using Catch::Matchers::Contains;
using cni::Code;
using cni::Error;
using cni::Plugin;
using cni::Request;
using cni::Result;
using cni::UniqueFd;
using cni::test::TempDirectory;

namespace {

using Variables = std::map<std::string, std::string>;
using Strings = std::vector<std::string>;

const std::string kOwnNetns = "/proc/self/ns/net";
const std::string kVersions =
    R"({"cniVersion":"1.1.0","supportedVersions":["0.1.0","0.2.0","0.3.0","0.3.1","0.4.0","1.0.0","1.1.0"]})"
    "\n";

// A plugin that keeps a list of what happens to it and does as the case tells it.
struct Probe {
  Strings seen = {};
  Result result = {};
  // Called by every operation.
  std::function<void(const Request&)> act = [](const Request&) {};
  cni::NetnsUse netns = cni::NetnsUse::kIgnores;
  bool makes_interface = false;

  Plugin plugin() {
    const auto operation = [this](const std::string& name) {
      return [this, name](const Request& request) {
        seen.push_back(name);
        act(request);
      };
    };
    return {
        .name = "probe",
        .netns = netns,
        .makes_interface = makes_interface,
        .add =
            [this](const Request& request, cni::Undo& undo) {
              undo.add("undo the ADD", [this] { seen.emplace_back("undo"); });
              seen.emplace_back("ADD");
              act(request);
              return result;
            },
        .check = operation("CHECK"),
        .del = operation("DEL"),
        .status = operation("STATUS"),
        .gc = operation("GC"),
    };
  }
};

// A file without a name, at its beginning.
UniqueFd file_with(const std::string& content) {
  UniqueFd file(::memfd_create("test", MFD_CLOEXEC));
  REQUIRE(file);
  cni::write_all(file.get(), content, "a file");
  ::lseek(file.get(), 0, SEEK_SET);
  return file;
}

std::string content_of(const UniqueFd& file) {
  ::lseek(file.get(), 0, SEEK_SET);
  return cni::read_all(file.get(), 1'000'000, "a file");
}

struct Pipe {
  Pipe() {
    std::array<int, 2> ends{};
    REQUIRE(::pipe2(ends.data(), O_CLOEXEC) == 0);
    read = UniqueFd(ends[0]);
    write = UniqueFd(ends[1]);
  }
  UniqueFd read;
  UniqueFd write;
};

cni::GetVariable getter(const Variables& variables) {
  return [&variables](const char* name) -> std::string {
    const auto found = variables.find(name);
    return found == variables.end() ? "" : found->second;
  };
}

struct Answer {
  int status;
  std::string out;
  std::string err;

  nlohmann::json json() const { return nlohmann::json::parse(out, nullptr, false); }
  // Of an error object; 0 if this is none.
  int code() const {
    const auto document = json();
    return document.is_object() ? document.value("code", 0) : 0;
  }
  std::string message() const {
    const auto document = json();
    return document.is_object() ? document.value("msg", "") : "";
  }
};

Answer call(Probe& probe, const Variables& variables, int in) {
  const UniqueFd out = file_with("");
  const UniqueFd err = file_with("");
  const int status = cni::run_plugin(
      probe.plugin(),
      {.variable = getter(variables), .in = in, .out = out.get(), .err = err.get()});
  return {.status = status, .out = content_of(out), .err = content_of(err)};
}

Answer call(Probe& probe, const Variables& variables, const std::string& input) {
  return call(probe, variables, file_with(input).get());
}

// The status of a call whose stdout is `out`.
int status_with_stdout(Probe& probe, const Variables& variables, const std::string& input,
                       int out) {
  const UniqueFd in = file_with(input);
  const UniqueFd err = file_with("");
  return cni::run_plugin(
      probe.plugin(),
      {.variable = getter(variables), .in = in.get(), .out = out, .err = err.get()});
}

Variables variables(const std::string& command, const std::string& netns = "/absent") {
  return {{"CNI_COMMAND", command},
          {"CNI_CONTAINERID", "c1"},
          {"CNI_NETNS", netns},
          {"CNI_IFNAME", "eth0"},
          {"CNI_PATH", "/absent"}};
}

std::string conf(const std::string& version = "1.1.0") {
  return R"({"cniVersion":")" + version + R"(","name":"n"})";
}

Result with_address() {
  return {.ips = {{.address = *cni::inet::Network::parse("10.1.2.5/24")}}};
}

// A call that has to be refused before anything happens.
void check_refused(Probe& probe, const Variables& environment, const std::string& input, int code) {
  const Answer answer = call(probe, environment, input);
  INFO(answer.out);
  CHECK(answer.status == 1);
  CHECK(answer.code() == code);
  CHECK(answer.json().contains("cniVersion"));
  CHECK(answer.err.empty());
  CHECK(probe.seen.empty());
}

// So that a pipe without a reader is an error of write(2), as in the real main.
class IgnoredSigpipe {
 public:
  IgnoredSigpipe() : previous_(std::signal(SIGPIPE, SIG_IGN)) {}
  IgnoredSigpipe(const IgnoredSigpipe&) = delete;
  IgnoredSigpipe& operator=(const IgnoredSigpipe&) = delete;
  ~IgnoredSigpipe() { std::signal(SIGPIPE, previous_); }

 private:
  void (*previous_)(int);
};

}  // namespace

TEST_CASE("ADD prints its result in the version of the request", "[protocol]") {
  for (const char* version : {"0.1.0", "0.2.0", "0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0"}) {
    Probe probe{.result = with_address()};
    const Answer answer = call(probe, variables("ADD"), conf(version));
    INFO(answer.out);
    CHECK(answer.status == 0);
    CHECK(answer.json()["cniVersion"] == version);
    CHECK(answer.out.starts_with("{\n    \"cniVersion\": "));
    CHECK(answer.out.ends_with("\n}"));
    CHECK(answer.err.empty());
    CHECK(probe.seen == Strings{"ADD"});
  }
}

TEST_CASE("ADD without a version answers in the oldest", "[protocol]") {
  Probe probe{.result = with_address()};
  const Answer answer = call(probe, variables("ADD"), R"({"name":"n"})");
  CHECK(answer.status == 0);
  CHECK(answer.json()["cniVersion"] == "0.1.0");
  CHECK(answer.json()["ip4"]["ip"] == "10.1.2.5/24");
}

TEST_CASE("the other commands print nothing", "[protocol]") {
  for (const std::string command : {"CHECK", "DEL", "GC", "STATUS"}) {
    Probe probe;
    const Answer answer = call(probe, variables(command), conf());
    CHECK(answer.status == 0);
    CHECK(answer.out.empty());
    CHECK(answer.err.empty());
    CHECK(probe.seen == Strings{command});
  }
}

TEST_CASE("a failure is one error object in the version of the request", "[protocol]") {
  for (const char* command : {"ADD", "CHECK", "DEL", "GC", "STATUS"}) {
    Probe probe{.act = [](const Request&) { throw Error(Code::kTryAgainLater, "later", "soon"); }};
    const Answer answer = call(probe, variables(command), conf("1.1.0"));
    CHECK(answer.status == 1);
    CHECK(answer.json() ==
          nlohmann::json(
              {{"cniVersion", "1.1.0"}, {"code", 11}, {"msg", "later"}, {"details", "soon"}}));
    CHECK_FALSE(answer.out.ends_with('\n'));
  }
  Probe probe{.act = [](const Request&) { throw std::runtime_error("x"); }};
  CHECK(call(probe, variables("DEL"), conf("0.4.0")).json()["cniVersion"] == "0.4.0");
  CHECK(call(probe, variables("DEL"), "{").json()["cniVersion"] == "1.1.0");
}

TEST_CASE("whatever is thrown ends as an error object", "[protocol]") {
  const std::vector<std::function<void()>> throwers = {
      [] { throw 42; },
      [] { throw std::bad_alloc(); },
      [] { throw std::runtime_error("a\xff\"\n\x01"); },
      [] { throw Error(Code::kInternal, "", "\xc3"); },
      [] { throw std::logic_error(std::string(100'000, 'x')); },
  };
  for (const auto& thrower : throwers) {
    Probe probe{.act = [&](const Request&) { thrower(); }};
    const Answer answer = call(probe, variables("DEL"), conf());
    CHECK(answer.status == 1);
    CHECK(answer.code() == 999);
  }
}

TEST_CASE("a failed ADD is undone and says nothing before its error", "[protocol]") {
  Probe probe{.result = with_address(), .act = [](const Request&) { throw Error(Code{100}, "x"); }};
  const Answer answer = call(probe, variables("ADD"), conf());
  CHECK(answer.status == 1);
  CHECK(answer.code() == 100);
  CHECK(probe.seen == Strings{"ADD", "undo"});
}

TEST_CASE("a result that does not fit the version undoes the ADD", "[protocol]") {
  Probe probe;
  const Answer answer = call(probe, variables("ADD"), conf("0.2.0"));
  CHECK(answer.status == 1);
  CHECK(answer.code() == 999);
  CHECK(answer.message() == "cannot convert: no valid IP addresses");
  CHECK(probe.seen == Strings{"ADD", "undo"});
}

TEST_CASE("a result that cannot be written undoes the ADD", "[protocol]") {
  const IgnoredSigpipe ignored;
  Probe probe{.result = with_address()};
  SECTION("full device") {
    const UniqueFd full(::open("/dev/full", O_WRONLY | O_CLOEXEC));
    CHECK(status_with_stdout(probe, variables("ADD"), conf(), full.get()) == 1);
  }
  SECTION("closed") {
    CHECK(status_with_stdout(probe, variables("ADD"), conf(), -1) == 1);
  }
  SECTION("read-only") {
    const UniqueFd null(::open("/dev/null", O_RDONLY | O_CLOEXEC));
    CHECK(status_with_stdout(probe, variables("ADD"), conf(), null.get()) == 1);
  }
  SECTION("nobody reads") {
    Pipe pipe;
    pipe.read.reset();
    CHECK(status_with_stdout(probe, variables("ADD"), conf(), pipe.write.get()) == 1);
  }
  CHECK(probe.seen == Strings{"ADD", "undo"});
}

TEST_CASE("commands that print nothing do not need stdout", "[protocol]") {
  Probe probe;
  CHECK(status_with_stdout(probe, variables("DEL"), conf(), -1) == 0);
  CHECK(probe.seen == Strings{"DEL"});
}

TEST_CASE("the undo comes before the error is printed", "[protocol]") {
  const UniqueFd out = file_with("");
  std::string printed_at_undo = "not undone";
  Probe probe;
  Plugin plugin = probe.plugin();
  plugin.add = [&](const Request&, cni::Undo& undo) -> Result {
    undo.add("look", [&] { printed_at_undo = content_of(out); });
    throw Error(Code::kInternal, "x");
  };
  const UniqueFd in = file_with(conf());
  const Variables environment = variables("ADD");
  CHECK(cni::run_plugin(plugin, {.variable = getter(environment),
                                 .in = in.get(),
                                 .out = out.get(),
                                 .err = out.get()}) == 1);
  CHECK(printed_at_undo.empty());
  CHECK(!content_of(out).empty());
}

TEST_CASE("several failed steps are one error with the first code", "[protocol]") {
  Probe probe{.act = [](const Request&) {
    cni::BestEffort cleanup;
    cleanup.run("do one", [] { throw Error(Code::kTryAgainLater, "a"); });
    cleanup.run("do two", [] { throw std::runtime_error("b\xff"); });
    cleanup.finish();
  }};
  const Answer answer = call(probe, variables("DEL"), conf());
  CHECK(answer.code() == 11);
  CHECK(answer.message() == "cannot do one: a; cannot do two: b\xef\xbf\xbd");
}

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
