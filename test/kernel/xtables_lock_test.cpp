// How changes of the legacy tables keep out of each other's way, and of those of iptables-legacy.
#include <linux/netfilter_ipv4/ip_tables.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <functional>
#include <optional>
#include <sstream>
#include <stdexcept>
#include <string>
#include <thread>

#include "base/error.h"
#include "kernel/xtables_bench.h"
#include "state/file_lock.h"
#include "support/child.h"
#include "support/sandbox.h"
#include "support/two_namespaces.h"
#include "xtables/table.h"

using namespace cni::xtables;  // NOLINT(google-build-using-namespace)
using Catch::Matchers::Contains;
using cni::inet::Family;
using cni::state::FileLock;
using cni::test::change_nat;
using cni::test::Child;
using cni::test::Host;
using cni::test::in_child;
using cni::test::Inside;
using cni::test::kLock;
using cni::test::message_of;
using cni::test::names_in_use;
using cni::test::Outcome;
using cni::test::read_whole_file;
using cni::test::run;
using cni::test::run_checked;
using cni::test::TempDirectory;
using namespace std::chrono_literals;

namespace {

// proc(5): a process that waits for a lock has a line of its own with "->".
bool waits_for_lock(pid_t pid) {
  std::istringstream locks(read_whole_file("/proc/locks"));
  for (std::string line; std::getline(locks, line);) {
    if (line.find("-> FLOCK") != std::string::npos &&
        line.find(" " + std::to_string(pid) + " ") != std::string::npos) {
      return true;
    }
  }
  return false;
}

Outcome list_without_waiting_long() {
  return run({.argv = {"iptables-legacy", "-w", "1", "-t", "nat", "-S"}});
}

// By somebody who takes another lock.
void change_without_lock(const std::string& command) {
  run_checked(
      {.argv = {"sh", "-c", "XTABLES_LOCKFILE=/run/other.lock iptables-legacy -t nat " + command}});
}

}  // namespace

TEST_CASE("the lock of xtables keeps iptables-legacy waiting until the store is gone",
          "[xtables][legacy][iptables-legacy]") {
  Host host;
  const Inside inside(host);
  auto store = open_legacy();
  CHECK(list_without_waiting_long().status == 0);
  store->change(Family::kIpv4, "nat", [](Table& table) { table.ensure_chain("A"); });
  const Outcome outcome = list_without_waiting_long();
  CHECK(outcome.status == 4);
  CHECK_THAT(outcome.err, Contains("holding the xtables lock"));

  // Others of this thread hold it as well.
  open_legacy(10ms)->change(Family::kIpv6, "nat", [](Table&) {});
  auto other = open_legacy(10ms);
  other->change(Family::kIpv4, "nat", [](Table& table) { table.ensure_chain("B"); });
  store.reset();
  CHECK_THROWS_AS(FileLock::acquire(kLock, FileLock::Mode::kExclusive, 10ms), cni::Busy);
  other.reset();
  const Outcome after = list_without_waiting_long();
  CHECK(after.status == 0);
  CHECK_THAT(after.out, Contains("-N A\n-N B\n"));
}

TEST_CASE("a change waits for the lock of xtables before it looks",
          "[xtables][legacy][iptables-legacy]") {
  Host host;
  const Inside inside(host);
  const TempDirectory root;
  Child child([&] {
    // Before, a lock of the parent would be the child's as well.
    while (::access((root / "locked").c_str(), F_OK) != 0) std::this_thread::yield();
    change_nat([](Table& table) {
      if (!table.has_chain("A")) throw std::runtime_error("looked before it had the lock");
      table.ensure_chain("B");
    });
    return "done";
  });
  std::optional<FileLock> lock = FileLock::acquire_of_others(kLock, 0600, 0ms);
  root.write("locked", "");
  while (!waits_for_lock(child.pid())) std::this_thread::yield();
  CHECK(names_in_use() == "|");
  change_without_lock("-N A");
  lock.reset();
  CHECK(child.wait() == "done");
}

TEST_CASE("the wait for the lock of xtables has an end", "[xtables][legacy][iptables-legacy]") {
  Host host;
  const Inside inside(host);
  const FileLock lock = FileLock::acquire_of_others(kLock, 0600, 0ms);
  const auto attempt = [] { open_legacy(20ms)->change(Family::kIpv4, "nat", [](Table&) {}); };
  CHECK_THROWS_AS(attempt(), cni::Busy);
  CHECK(message_of(attempt) == "lock /run/xtables.lock: still held by another process after 20 ms");
  CHECK(names_in_use() == "|");
}

TEST_CASE("the lock of xtables is the file that iptables takes",
          "[xtables][legacy][iptables-legacy]") {
  Host host;
  const Inside inside(host);
  const TempDirectory root;
  const auto change_with = [](const std::string& variable) {
    return in_child([&] {
      ::umask(0);
      ::setenv("XTABLES_LOCKFILE", variable.c_str(), 1);
      return message_of([] { open_legacy(20ms)->change(Family::kIpv4, "nat", [](Table&) {}); });
    });
  };
  ::unlink(kLock);
  CHECK(change_with(root / "lock") == "no error");
  CHECK(::access(kLock, F_OK) != 0);
  struct stat status{};
  REQUIRE(::stat((root / "lock").c_str(), &status) == 0);
  CHECK(status.st_mode == (S_IFREG | 0600));

  // iptables follows a link.
  std::filesystem::create_symlink("lock", root / "link");
  const FileLock lock = FileLock::acquire(root / "lock");
  CHECK(change_with(root / "link") ==
        "lock " + (root / "link") + ": still held by another process after 20 ms");
  CHECK(change_with("") == "no error");
  CHECK(::access(kLock, F_OK) == 0);

  CHECK(change_with(root / "a/lock") ==
        "open lock " + (root / "a/lock") + ": no such file or directory");
}

TEST_CASE("a table that others change without the lock is read again",
          "[xtables][legacy][iptables-legacy]") {
  Host host;
  const Inside inside(host);
  int calls = 0;
  change_nat([&](Table& table) {
    if (++calls == 1) {
      CHECK_FALSE(table.has_chain("THEIRS"));
      change_without_lock("-N THEIRS");
    }
    table.ensure_chain("OURS");
  });
  CHECK(calls == 2);
  const auto table = open_legacy()->find(Family::kIpv4, "nat");
  CHECK(table->has_chain("THEIRS"));
  CHECK(table->has_chain("OURS"));

  CHECK(in_child([] {
          cni::test::deny_call(SYS_setsockopt, 2, IPT_SO_SET_REPLACE, EAGAIN);
          try {
            change_nat([](Table& changed) { changed.ensure_chain("NEVER"); });
          } catch (const cni::Busy& error) {
            return std::string(error.what());
          }
          return std::string("no error");
        }) == "change table nat of iptables-legacy: somebody else kept changing it");
}
