#include "delegation/delegate.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <catch2/catch.hpp>
#include <csignal>
#include <cstdlib>

#include "protocol/error.h"
#include "support/sandbox.h"

using Catch::Matchers::Contains;
using cni::Code;
using cni::Command;
using cni::Error;
using cni::Result;
using cni::Version;
using cni::delegation::call;
using cni::delegation::environment_with;
using cni::delegation::parse_answer;
using cni::test::FakePlugin;
using cni::test::TempDirectory;

namespace {

// A variable of this process while the object lives.
class Variable {
 public:
  Variable(const char* name, const char* value) : name_(name) { ::setenv(name, value, 1); }
  Variable(const Variable&) = delete;
  Variable& operator=(const Variable&) = delete;
  ~Variable() { ::unsetenv(name_); }

 private:
  const char* name_;
};

// As in the real main.
const auto kIgnored = std::signal(SIGPIPE, SIG_IGN);

class Delegate {
 public:
  explicit Delegate(const FakePlugin::Reply& reply = {}) { fake_.reply_to_all(reply); }

  std::string call(Command command = Command::kAdd, const std::string& input = "{}") const {
    return cni::delegation::call(fake_.path(), command, input);
  }

  Error failure() const {
    try {
      call();
    } catch (const Error& error) {
      return error;
    }
    FAIL("it succeeded");
    return Error(Code{}, "");
  }

  const FakePlugin& fake() const { return fake_; }

 private:
  TempDirectory directory_;
  FakePlugin fake_{directory_.path(), "delegate"};
};

std::string answer_failure(const std::string& answer) {
  try {
    parse_answer(answer, Version::k1_0_0);
    return "";
  } catch (const Error& error) {
    CHECK(error.code() == Code::kInternal);
    return error.what();
  }
}

}  // namespace

TEST_CASE("the environment is ours with some variables set anew", "[delegation]") {
  const Variable one("CNI_TEST_ONE", "1");
  const Variable two("CNI_TEST_TWO", "a=b\n");
  const auto with = [](const cni::delegation::Variables& variables) {
    return environment_with(variables);
  };
  const auto count = [](const std::vector<std::string>& environment, const std::string& text) {
    return std::ranges::count(environment, text);
  };
  CHECK(count(with({}), "CNI_TEST_ONE=1") == 1);
  const auto changed = with({{"CNI_TEST_ONE", "2"}, {"CNI_TEST_THREE", ""}});
  CHECK(count(changed, "CNI_TEST_ONE=1") == 0);
  CHECK(count(changed, "CNI_TEST_ONE=2") == 1);
  CHECK(count(changed, "CNI_TEST_TWO=a=b\n") == 1);
  CHECK(count(changed, "CNI_TEST_THREE=") == 1);
  // The name has to match as a whole.
  CHECK(count(with({{"CNI_TEST", "x"}}), "CNI_TEST_ONE=1") == 1);
}

TEST_CASE("a delegate gets our environment and the input byte for byte", "[delegation]") {
  const Variable command("CNI_COMMAND", "ADD");
  const Variable args("CNI_ARGS", "A=b;IgnoreUnknown=1");
  const Variable foreign("TRACEPARENT", "00-x");
  const Delegate delegate({.out = "answer\n"});
  const std::string input("{\"name\" : 1.0,\"x\":\"\xff\0\"}\n ", 26);
  CHECK(delegate.call(Command::kDel, input) == "answer\n");
  REQUIRE(delegate.fake().calls().size() == 1);
  const FakePlugin::Call seen = delegate.fake().calls()[0];
  CHECK(seen.input == input);
  CHECK(seen.environment.at("CNI_COMMAND") == "DEL");
  CHECK(seen.environment.at("CNI_ARGS") == "A=b;IgnoreUnknown=1");
  CHECK(seen.environment.at("TRACEPARENT") == "00-x");
  std::size_t own = 0;
  for (char** variable = ::environ; *variable != nullptr; ++variable) ++own;
  CHECK(seen.environment.size() == own);
  CHECK(seen.argv.back() == delegate.fake().path());
}

TEST_CASE("every command is passed by its name", "[delegation]") {
  const Delegate delegate;
  for (const Command command :
       {Command::kAdd, Command::kCheck, Command::kDel, Command::kGc, Command::kStatus}) {
    delegate.call(command);
    CHECK(delegate.fake().calls().back().verb() == text(command));
  }
}

TEST_CASE("a delegate's stderr appears on ours", "[delegation]") {
  const TempDirectory directory;
  const std::string path = directory.write("stderr", "");
  const Delegate delegate({.err = "a warning\n"});
  const int kept = ::fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 3);
  const int file = ::open(path.c_str(), O_WRONLY | O_APPEND | O_CLOEXEC);
  ::dup2(file, STDERR_FILENO);
  ::close(file);
  delegate.call();
  ::dup2(kept, STDERR_FILENO);
  ::close(kept);
  CHECK(cni::test::read_whole_file(path) == "a warning\n");
}

TEST_CASE("a delegate's error object is carried through", "[delegation]") {
  const Error error =
      Delegate({.out = R"({"cniVersion":"1.0.0","code":11,"msg":"later","details":"soon"})",
                .err = "noise\n",
                .status = 1})
          .failure();
  CHECK(error.code() == Code::kTryAgainLater);
  CHECK(error.what() == std::string("later"));
  CHECK(error.details() == "soon");
  // Whatever the status, as long as it is no success; an own code.
  CHECK(static_cast<unsigned>(
            Delegate({.out = R"({"code":4711,"msg":"m"})", .status = 77}).failure().code()) ==
        4711);
  // Dying after it.
  CHECK(Delegate({.out = R"({"code":7,"msg":"m"})", .before = "trap 'kill -9 $$' EXIT"})
            .failure()
            .code() == Code::kInvalidConfig);
}

TEST_CASE("an error object with success is an answer", "[delegation]") {
  CHECK(Delegate({.out = R"({"code":11,"msg":"m"})"}).call() == R"({"code":11,"msg":"m"})");
}

TEST_CASE("a failure without a usable object names the plugin and its ending", "[delegation]") {
  const auto message = [](const FakePlugin::Reply& reply) {
    const Error error = Delegate(reply).failure();
    CHECK(error.code() == Code::kInternal);
    CHECK_THAT(error.what(), Contains("/delegate"));
    return std::string(error.what());
  };
  CHECK_THAT(message({.status = 3}),
             Catch::StartsWith("netplugin failed with no error message: exit status 3"));
  CHECK_THAT(message({.out = " \n", .status = 3}),
             Catch::StartsWith("netplugin failed with no error message: exit status 3"));
  CHECK_THAT(message({.before = "kill -9 $$"}), Contains("signal 9: Killed"));
  CHECK_THAT(
      message({.err = "no \"route\"\n", .status = 1}),
      Catch::StartsWith("netplugin failed: \"no \\\"route\\\"\"") && Contains("exit status 1"));
  CHECK_THAT(
      message({.out = "garbage", .status = 1}),
      Catch::StartsWith("netplugin failed but error parsing its diagnostic message \"garbage\""));
  for (const char* out : {"{}", "[]", "null", R"({"code":"1","msg":"m"})", "{\"code\":1"}) {
    CHECK_THAT(message({.out = out, .status = 1}), Contains("diagnostic message"));
  }
}

TEST_CASE("a delegate that cannot be started", "[delegation]") {
  CHECK_THROWS_WITH(call("/absent", Command::kAdd, ""),
                    "fork/exec /absent: no such file or directory");
}

TEST_CASE("the deadline can be chosen", "[delegation]") {
  const Variable timeout("CNI_DELEGATE_TIMEOUT", "1");
  const Error error = Delegate({.before = "sleep 1000"}).failure();
  CHECK(error.code() == Code::kTryAgainLater);
  CHECK_THAT(error.what(), Contains("/delegate: no answer in time"));
}

TEST_CASE("a deadline that is none is passed over", "[delegation]") {
  for (const char* bad : {"", "0", "-1", "x", "1s", "1.5", " 1", "99999999999999999999", "86401"}) {
    const Variable timeout("CNI_DELEGATE_TIMEOUT", bad);
    CHECK(Delegate({.out = "a"}).call() == "a");
  }
}

TEST_CASE("an answer may be in any version", "[delegation]") {
  const std::string old = R"({"cniVersion":"0.2.0","ip4":{"ip":"10.1.2.3/24"}})";
  const std::string middle =
      R"({"cniVersion":"0.4.0","ips":[{"version":"4","address":"10.1.2.3/24"}]})";
  const std::string fresh = R"({"cniVersion":"1.1.0","ips":[{"address":"10.1.2.3/24"}]})";
  for (const std::string& answer : {old, middle, fresh}) {
    for (const Version version : cni::kVersions) {
      const Result result = parse_answer(answer, version);
      REQUIRE(result.ips.size() == 1);
      CHECK(result.ips[0].address.text() == "10.1.2.3/24");
    }
  }
}

TEST_CASE("an answer without a version is in ours", "[delegation]") {
  for (const std::string version : {R"("a":1)", R"("cniVersion":"")", R"("cniVersion":null)"}) {
    CHECK(parse_answer("{" + version + R"(,"ip4":{"ip":"10.1.2.3/24"}})", Version::k0_2_0)
              .ips.size() == 1);
    CHECK(parse_answer("{" + version + R"(,"ips":[{"address":"10.1.2.3/24"}]})", Version::k1_0_0)
              .ips.size() == 1);
  }
  CHECK(parse_answer("null", Version::k1_0_0).ips.empty());
}

TEST_CASE("an answer that cannot be used", "[delegation]") {
  for (const char* bad : {"", " ", "x", "{", "[]", "1", "{}x", "{}{}"}) {
    INFO(bad);
    CHECK_THAT(answer_failure(bad), Catch::StartsWith("failed to unmarshal raw result: "));
  }
  CHECK(answer_failure(R"({"cniVersion":"7.0.0"})") == "unsupported CNI result version \"7.0.0\"");
  for (const char* bad : {R"({"cniVersion":1})", R"({"ips":[{"address":"x"}]})", R"({"ips":1})",
                          R"({"ips":[{"address":"10.1.2.3"}]})"}) {
    INFO(bad);
    CHECK_THAT(answer_failure(bad), Catch::StartsWith("failed to convert result: "));
  }
}
