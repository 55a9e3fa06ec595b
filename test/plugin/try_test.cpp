// conf-examples/try at work, in the wrong place, and interrupted.
#include <signal.h>

#include <atomic>
#include <catch2/catch.hpp>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <string>
#include <thread>
#include <vector>

#include "plugin/examples.h"
#include "support/plugin_run.h"
#include "support/sandbox.h"

namespace cni::test {
namespace {

namespace fs = std::filesystem;

// What the machine could have left of `try`.
std::string traces() {
  return run_checked({.argv = {"sh", "-c",
                               "cat /proc/self/mountinfo; ip -o link | sed 's/state.*//'; "
                               "ip -o address | sed 's/  *valid_lft.*//'; ip route show table all; "
                               "find /run/netns /var/lib/cni"}});
}

// The processes that have `assignment` in their environment, wherever they have gone.
std::vector<std::string> processes_with(const std::string& assignment) {
  std::vector<std::string> found;
  std::error_code gone;
  for (const auto& entry : fs::directory_iterator("/proc")) {
    std::ifstream file(entry.path() / "environ", std::ios::binary);
    const std::string environment{std::istreambuf_iterator<char>(file), {}};
    if (environment.find(assignment) == std::string::npos) continue;
    found.push_back(fs::read_symlink(entry.path() / "exe", gone).string());
  }
  return found;
}

// A tmpfs that is not below /run, where temporary files of tests are and `try` has a tmpfs too.
struct VisibleDirectory {
  VisibleDirectory() { run_checked({.argv = {"mount", "-t", "tmpfs", "tmpfs", path}}); }
  VisibleDirectory(const VisibleDirectory&) = delete;
  VisibleDirectory& operator=(const VisibleDirectory&) = delete;
  ~VisibleDirectory() { run({.argv = {"umount", path}}); }

  const std::string path = "/mnt";
};

std::vector<std::string> try_words() {
  return {kExamples + "/try", "--bin", plugin_directory()};
}

}  // namespace

TEST_CASE("conf-examples/try shows it all and leaves nothing", "[examples][bridge][veth]") {
  const std::string before = traces();
  const Outcome outcome = run({.argv = try_words()});
  INFO(outcome.text());
  CHECK(outcome.status == 0);
  CHECK_FALSE(outcome.left_processes);
  CHECK(outcome.err.empty());
  for (const char* title :
       {"\nADD\n", "\nPing, each way\n", "\nWeb pages, in and out\n", "\nCHECK\n", "\nDEL\n",
        "\nNothing is left\n", "\nHow long it took\n", "\nAll went well."}) {
    INFO(title);
    CHECK(outcome.out.find(title) != std::string::npos);
  }
  // Who fetched what, and as whom it was seen.
  for (const char* line :
       {"\n  lan  192.168.77.2  fetches 192.168.77.1 port 8080  c1 saw 192.168.77.2\n",
        "\n  c2   fd00:88::3    fetches fd00:77::2 port 80    lan saw fd00:77::1\n"}) {
    INFO(line);
    CHECK(outcome.out.find(line) != std::string::npos);
  }
  // Not a terminal: no colours.
  CHECK(outcome.out.find('\x1b') == std::string::npos);
  CHECK(traces() == before);
}

TEST_CASE("conf-examples/try fails in plain words", "[examples]") {
  const TempDirectory directory;
  const auto fails = [&](const std::vector<std::string>& argv, int status, const char* words) {
    const Outcome outcome = run({.argv = argv});
    INFO(outcome.text());
    CHECK(outcome.status == status);
    CHECK(outcome.err.find(words) != std::string::npos);
  };
  fails({kExamples + "/try", "--bin", directory.path()}, 1, "below /run");
  fails({kExamples + "/try", "--bin", "/usr/lib"}, 1, "there is no cnictl");
  fails({kExamples + "/try", "--fast"}, 2, "'--fast' is no option");
  fails({kExamples + "/try", "--inside", plugin_directory()}, 1, "not for the command line");

  // With a plugin that fails, at a place that `try` does not hide from itself.
  const VisibleDirectory visible;
  for (const auto& entry : fs::directory_iterator(plugin_directory())) {
    fs::create_symlink(entry.path(), visible.path + "/" + entry.path().filename().string());
  }
  fs::remove(visible.path + "/host-local");
  FakePlugin(visible.path, "host-local")
      .reply("ADD", {.out = R"({"code": 11, "msg": "the pool is busy"})", .status = 1});
  fails({kExamples + "/try", "--bin", visible.path}, 1, "the pool is busy");
  fails({kExamples + "/try", "--bin", visible.path}, 1, "Failed: ADD");
}

TEST_CASE("conf-examples/try leaves nothing when interrupted", "[examples][bridge][veth]") {
  const auto [signal, status] =
      GENERATE(table<int, int>({{SIGINT, 130}, {SIGTERM, 143}, {SIGHUP, 129}}));
  const std::string last = GENERATE(as<std::string>{}, "A private host", "ADD", "Ping, each way");
  INFO("signal " << signal << " after \"" << last << '"');
  const TempDirectory directory;
  const std::string log = directory.write("log", "");
  const std::string errors = directory.write("errors", "");
  const std::string pid_file = directory.write("pid", "");
  const std::string before = traces();
  Environment environment = plain_environment();
  environment["TRY_TEST"] = directory.path();

  // Nothing is a pipe that a process left behind would hold open: run() returns at once.
  const std::string script = "echo $$ >" + pid_file + " && exec \"$@\" 2>" + errors;
  Program program{
      .argv = {"sh", "-c", script, "sh"}, .environment = environment, .stdout_path = log};
  for (const std::string& word : try_words()) program.argv.push_back(word);
  Outcome outcome;
  std::atomic<bool> ended = false;
  std::thread runner([&] {
    outcome = run(program);
    ended = true;
  });
  bool begun = false;
  while (!begun && !ended) {
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
    begun = read_whole_file(log).find("\n" + last + "\n") != std::string::npos;
  }
  const bool had_processes = !processes_with("TRY_TEST=" + directory.path()).empty();
  // To the whole group, as a terminal does.
  const std::string leader = read_whole_file(pid_file);
  const bool sent = begun && ::kill(-std::stoi(leader), signal) == 0;
  runner.join();

  const auto left = processes_with("TRY_TEST=" + directory.path());
  const std::string said = read_whole_file(errors);
  INFO(outcome.text() << read_whole_file(log) << said);
  REQUIRE(sent);
  CHECK(had_processes);
  CHECK(outcome.status == status);
  CHECK(said.find("Interrupted.") != std::string::npos);
  CHECK_FALSE(outcome.left_processes);
  CHECK(left.empty());
  CHECK(traces() == before);
}

}  // namespace cni::test
