// What a plugin prints, and what becomes of an ADD that fails.
#include "protocol/plugin.h"

#include <fcntl.h>

#include <catch2/catch.hpp>
#include <cerrno>
#include <functional>
#include <string>

#include "base/best_effort.h"
#include "base/error.h"
#include "base/unique_fd.h"
#include "protocol/error.h"
#include "unit/protocol/probe.h"

using namespace cni::test;  // NOLINT(google-build-using-namespace)
using cni::Code;
using cni::Error;
using cni::Plugin;
using cni::Request;
using cni::Result;
using cni::UniqueFd;

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

TEST_CASE("a type that names no plugin is refused, though not by DEL", "[protocol]") {
  for (const char* type : {"../x", "a/b", ".", ".."}) {
    const std::string config =
        std::string(R"({"cniVersion":"1.0.0","name":"n","type":")") + type + R"("})";
    Probe probe{.result = with_address()};
    CHECK(call(probe, variables("ADD"), config).code() == 7);
    CHECK(call(probe, variables("CHECK"), config).code() == 7);
    CHECK(probe.seen.empty());
    CHECK(call(probe, variables("DEL"), config).status == 0);
  }
}

TEST_CASE("a plugin that makes an interface adds to what the chain has", "[protocol]") {
  const std::string previous = R"("prevResult":{"interfaces":[{"name":"a"},{"name":"b"}],)"
                               R"("ips":[{"address":"10.9.9.9/24","interface":1}],)"
                               R"("routes":[{"dst":"10.9.0.0/16"}],"dns":{"domain":"a"}})";
  Result own = with_address();
  own.interfaces = {{.name = "eth0"}};
  own.ips[0].interface = 0;
  Probe probe{.result = own, .makes_interface = true};
  const auto chained = [&](const std::string& version) {
    return call(probe, variables("ADD"),
                R"({"cniVersion":")" + version + R"(","name":"n",)" + previous + "}")
        .json();
  };
  const auto result = chained("1.0.0");
  CHECK(result["interfaces"] ==
        nlohmann::json::parse(R"([{"name":"a"},{"name":"b"},{"name":"eth0"}])"));
  CHECK(result["ips"] == nlohmann::json::parse(R"([{"address":"10.9.9.9/24","interface":1},)"
                                               R"({"address":"10.1.2.5/24","interface":2}])"));
  CHECK(result["routes"] == nlohmann::json::parse(R"([{"dst":"10.9.0.0/16"}])"));
  CHECK(result["dns"]["domain"] == "a");
  probe.result.dns.domain = "b";
  CHECK(chained("1.1.0")["dns"]["domain"] == "b");
  // Before 0.3.0 there were no such results.
  CHECK(chained("0.2.0")["ip4"]["ip"] == "10.1.2.5/24");
}

TEST_CASE("what the chain has is read before anything is made", "[protocol]") {
  Probe probe{.makes_interface = true};
  check_refused(probe, variables("ADD"), R"({"cniVersion":"1.0.0","name":"n","prevResult":[1]})",
                7);
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

TEST_CASE("what the host refuses makes a plugin unavailable, in words of STATUS", "[protocol]") {
  const auto code = [](const char* command, const std::function<void()>& thrower) {
    Probe probe{.act = [&](const Request&) { thrower(); }};
    return call(probe, variables(command), conf()).code();
  };
  const auto refused = [] { throw cni::SystemError(EPERM, "ask"); };
  CHECK(code("STATUS", refused) == 50);
  CHECK(code("GC", refused) == 999);
  CHECK(code("STATUS", [] { throw cni::IoError(EROFS, "write"); }) == 50);
  CHECK(code("STATUS", [] { throw cni::Busy("later"); }) == 11);
  CHECK(code("STATUS", [] { throw Error(Code::kLimitedConnectivity, "x"); }) == 51);
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
