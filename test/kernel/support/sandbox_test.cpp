#include "support/sandbox.h"

#include <unistd.h>

#include <catch2/catch.hpp>
#include <csignal>
#include <filesystem>
#include <thread>

#include "support/two_namespaces.h"

using cni::test::FakePlugin;
using cni::test::Outcome;
using cni::test::run;
using cni::test::TempDirectory;

TEST_CASE("a temporary directory is gone at the end", "[support]") {
  std::string path;
  {
    const TempDirectory directory;
    path = directory.path();
    directory.write("deep/er/file", "x");
    CHECK(std::filesystem::exists(path + "/deep/er/file"));
  }
  CHECK_FALSE(std::filesystem::exists(path));
}

TEST_CASE("a program gets what was chosen for it and nothing else", "[support]") {
  const Outcome outcome =
      run({.argv = {"sh", "-c", "env; cat; echo oops >&2; exit 3"},
           .environment = cni::test::Environment{{"PATH", "/bin"}, {"A", "b c"}},
           .input = std::string(200'000, 'i'),
           .directory = "/"});
  CHECK(outcome.status == 3);
  CHECK(outcome.signal == 0);
  CHECK(outcome.err == "oops\n");
  CHECK(outcome.out.find("A=b c\n") != std::string::npos);
  CHECK(outcome.out.find("HOME=") == std::string::npos);
  CHECK(outcome.out.size() > 200'000);
  CHECK_FALSE(outcome.left_processes);
}

TEST_CASE("a program that is not there exits with 127", "[support]") {
  const Outcome outcome = run({.argv = {"/no/such/program"}});
  CHECK(outcome.status == 127);
  CHECK(outcome.err.find("No such file") != std::string::npos);
}

TEST_CASE("a program that does not end is killed with its children", "[support]") {
  const Outcome outcome = run({.argv = {"sh", "-c", "echo begun; sleep 1000 & sleep 1000"},
                               .limit = std::chrono::milliseconds(300)});
  CHECK(outcome.timed_out);
  CHECK(outcome.signal == SIGKILL);
  CHECK(outcome.out == "begun\n");
}

TEST_CASE("processes that stay behind are noticed", "[support]") {
  const Outcome outcome = run({.argv = {"sh", "-c", "sleep 1000 >/dev/null 2>&1 & exit 0"}});
  CHECK(outcome.status == 0);
  CHECK(outcome.left_processes);
}

TEST_CASE("a signal is told from an exit status", "[support]") {
  const Outcome outcome = run({.argv = {"sh", "-c", "kill -TERM $$"}});
  CHECK(outcome.status == -1);
  CHECK(outcome.signal == SIGTERM);
}

TEST_CASE("stdout can be full or closed", "[support]") {
  CHECK(run({.argv = {"sh", "-c", "echo x"}, .stdout_path = "/dev/full"}).status != 0);
  CHECK(run({.argv = {"sh", "-c", "test ! -e /proc/$$/fd/1"}, .stdout_closed = true}).status == 0);
}

TEST_CASE("a fake plugin records its calls and gives its reply", "[support]") {
  const TempDirectory directory;
  FakePlugin plugin(directory.path(), "fake-ipam");
  plugin.reply("ADD", {.out = "{\"a\": 1}", .err = "careful", .status = 0});
  plugin.reply("DEL", {.out = "no", .status = 4});
  plugin.reply_to_all({.before = "kill -9 $$"});

  const auto call = [&](const std::string& verb, const std::string& input) {
    return run({.argv = {plugin.path(), "argument"},
                .environment = cni::test::Environment{{"CNI_COMMAND", verb}, {"X", "y=z"}},
                .input = input});
  };
  const Outcome add = call("ADD", "input\n\nof add\n");
  CHECK(add.out == "{\"a\": 1}");
  CHECK(add.err == "careful");
  CHECK(add.status == 0);
  CHECK(call("DEL", "").status == 4);
  CHECK(call("CHECK", "").signal == SIGKILL);

  const auto calls = plugin.calls();
  REQUIRE(calls.size() == 3);
  CHECK(calls[0].verb() == "ADD");
  CHECK(calls[0].argv.at(1) == "argument");
  CHECK(calls[0].input == "input\n\nof add\n");
  CHECK(calls[0].environment == cni::test::Environment{{"CNI_COMMAND", "ADD"}, {"X", "y=z"}});
  CHECK(calls[0].process_status.find("CapInh:") != std::string::npos);
  CHECK(calls[1].verb() == "DEL");
  CHECK(calls[2].verb() == "CHECK");
  // Its own shell and nothing else: a descriptor that leaked would be in the list.
  CHECK(calls[0].descriptors.size() == 3);
  CHECK(calls[0].descriptors.count(2) == 1);
}

TEST_CASE("a fake plugin sees a descriptor that leaks", "[support]") {
  const TempDirectory directory;
  const FakePlugin plugin(directory.path(), "fake");
  const int leak = ::dup(0);  // without close-on-exec
  run({.argv = {plugin.path()}});
  ::close(leak);
  REQUIRE(plugin.calls().size() == 1);
  CHECK(plugin.calls().at(0).descriptors.count(leak) == 1);
}

TEST_CASE("calls at the same time are all recorded", "[support]") {
  const TempDirectory directory;
  const FakePlugin plugin(directory.path(), "fake");
  std::vector<std::thread> threads;
  for (int number = 0; number < 8; ++number) {
    threads.emplace_back(
        [&plugin, number] { run({.argv = {plugin.path()}, .input = std::to_string(number)}); });
  }
  for (std::thread& thread : threads) thread.join();
  CHECK(plugin.calls().size() == 8);
}
