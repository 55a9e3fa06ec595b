// The store of iptables-legacy against the kernel and against iptables-legacy itself. What it has
// in common with the other store is in xtables_store_test.cpp.
#include <linux/netfilter_ipv4/ip_tables.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <cerrno>
#include <functional>
#include <memory>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "base/error.h"
#include "kernel/spoilt_calls.h"
#include "kernel/xtables_bench.h"
#include "support/child.h"
#include "support/sandbox.h"
#include "support/two_namespaces.h"
#include "xtables/table.h"

using namespace cni::xtables;  // NOLINT(google-build-using-namespace)
using Catch::Matchers::Contains;
using cni::SystemError;
using cni::inet::Address;
using cni::inet::Family;
using cni::test::Calls;
using cni::test::change_nat;
using cni::test::FailingAllocation;
using cni::test::Host;
using cni::test::in_child;
using cni::test::Inside;
using cni::test::kLock;
using cni::test::lines;
using cni::test::message_of;
using cni::test::names_in_use;
using cni::test::Option;
using cni::test::run_checked;
using cni::test::Spoilt;

namespace {

Address address(const std::string& text) {
  return Address::parse(text).value();
}

Rule jump(const std::string& chain) {
  return {.target = Jump{chain}};
}

}  // namespace

TEST_CASE("what others have in the table stays as it is, with its counters",
          "[xtables][legacy][iptables-legacy]") {
  Host host;
  const Inside inside(host);
  const std::string foreign =
      "[7:420] -A POSTROUTING -m limit --limit 1/sec -j X\n[1:60] -A X -p icmp -j RETURN\n";
  run_checked({.argv = {"iptables-legacy-restore", "-c"},
               .input = "*nat\n:X - [0:0]\n" + foreign + "COMMIT\n"});
  const std::string before = run_checked({.argv = {"iptables-legacy-save", "-c", "-t", "nat"}});
  change_nat([](Table& table) {
    table.ensure_chain("A");
    table.insert("POSTROUTING", 0, jump("A"));
    table.append("A", {.protocol = IPPROTO_TCP, .target = Accept{}});
  });
  const std::string between = run_checked({.argv = {"iptables-legacy-save", "-c", "-t", "nat"}});
  CHECK_THAT(between, Contains("[0:0] -A POSTROUTING -j A\n[7:420] -A POSTROUTING -m limit"));
  change_nat([](Table& table) { CHECK(table.delete_chain_if_exists("A", {"POSTROUTING"})); });
  const auto rules = [](const std::string& text) {
    return text.substr(text.find('*'), text.find("\nCOMMIT") - text.find('*'));
  };
  CHECK(rules(run_checked({.argv = {"iptables-legacy-save", "-c", "-t", "nat"}})) == rules(before));
}

TEST_CASE("a legacy table that was replaced without its counters is no failure",
          "[xtables][legacy][iptables-legacy]") {
  Host host;
  const Inside inside(host);
  const auto change = [] {
    change_nat([](Table& table) {
      table.ensure_chain("A");
      table.ensure_appended("POSTROUTING", jump("A"));
    });
  };
  const auto postrouting = [] {
    return lines(*open_legacy()->find(Family::kIpv4, "nat"), "POSTROUTING");
  };
  const auto fail = [](int option, int failure) {
    return Calls{.set_option = [=](const Option& set) {
      return set.level == IPPROTO_IP && set.name == option ? failure : 0;
    }};
  };
  change_nat([](Table& table) { table.append("POSTROUTING", {.target = Return{}}); });
  {
    const Spoilt full(fail(IPT_SO_SET_REPLACE, ENOMEM));
    CHECK(message_of(change) == "change table nat of iptables-legacy: cannot allocate memory");
  }
  CHECK(postrouting() == std::vector<std::string>{"-j RETURN"});
  {
    const Spoilt spoilt(fail(IPT_SO_SET_ADD_COUNTERS, EROFS));
    CHECK_NOTHROW(change());
  }
  CHECK(postrouting() == std::vector<std::string>{"-j RETURN", "-j A"});
}

TEST_CASE("a legacy table for which there is no memory is not taken for a smaller one",
          "[xtables][legacy][iptables-legacy][allocations]") {
  Host host;
  const Inside inside(host);
  change_nat([](Table& table) {
    for (const char* chain : {"A", "B"}) {
      table.ensure_chain(chain);
      table.append(chain, {.target = Return{}});
      table.append("POSTROUTING", jump(chain));
    }
  });
  const auto open = [](long failing) -> std::pair<std::unique_ptr<const Table>, bool> {
    const std::unique_ptr<Store> store = open_legacy();
    const FailingAllocation failure(failing);
    try {
      auto table = store->find(Family::kIpv4, "nat");
      return {std::move(table), FailingAllocation::happened()};
    } catch (const std::exception&) {
      return {nullptr, FailingAllocation::happened()};
    }
  };
  constexpr long kMany = 1000;
  int refused = 0;
  for (long number = 1; number < kMany; ++number) {
    const auto [table, has_failed] = open(number);
    if (!has_failed) break;
    if (!table) {
      ++refused;
      continue;
    }
    CHECK(lines(*table, "POSTROUTING") == std::vector<std::string>{"-j A", "-j B"});
    CHECK(table->chains() == std::vector<std::string>{"A", "B"});
  }
  CHECK(refused > 0);
}

TEST_CASE("changes of a legacy table are visible before they are committed",
          "[xtables][legacy][iptables-legacy]") {
  Host host;
  const Inside inside(host);
  change_nat([](Table& table) {
    CHECK_FALSE(table.changed());
    table.ensure_chain("POSTROUTING");
    CHECK_FALSE(table.changed());
    table.ensure_chain("A");
    CHECK(table.changed());
    CHECK(table.has_chain("A"));
    CHECK(table.chains() == std::vector<std::string>{"A"});
    table.append("POSTROUTING", jump("A"));
    table.insert("POSTROUTING", 0, {.target = Return{}});
    table.insert("POSTROUTING", 1, {.target = Masquerade{}});
    CHECK(lines(table, "POSTROUTING") ==
          std::vector<std::string>{"-j RETURN", "-j MASQUERADE", "-j A"});
    table.erase("POSTROUTING", 1);
    CHECK(lines(table, "POSTROUTING") == std::vector<std::string>{"-j RETURN", "-j A"});
    CHECK(table.rules("POSTROUTING")[1].jump_target == "A");

    // A chain may go before what jumps to it, and come back empty.
    table.append("A", {.target = Accept{}});
    table.delete_chain("A");
    CHECK_FALSE(table.has_chain("A"));
    CHECK(table.chains().empty());
    CHECK(table.rules("A").empty());
    CHECK_THROWS_AS(table.append("A", {.target = Accept{}}), SystemError);
    CHECK_THROWS_AS(table.append("OUTPUT", jump("A")), SystemError);
    table.ensure_chain("A");
    CHECK(table.has_chain("A"));
    table.delete_chain("A");
    table.erase("POSTROUTING", 1);
  });
  const auto table = open_legacy()->find(Family::kIpv4, "nat");
  CHECK(lines(*table, "POSTROUTING") == std::vector<std::string>{"-j RETURN"});
  CHECK(table->chains().empty());
}

TEST_CASE("what a legacy table cannot take names the table and the chain",
          "[xtables][legacy][iptables-legacy]") {
  Host host;
  const Inside inside(host);
  change_nat([](Table& table) {
    table.ensure_chain("A");
    table.append("POSTROUTING", jump("A"));
  });
  const auto message = [](const std::function<void(Table&)>& change) {
    return message_of([&] { change_nat(change); });
  };
  CHECK(
      message([](Table& table) { table.append("A", jump("B")); }) ==
      "add rule '-j B' to chain A of table nat of iptables-legacy, which jumps to chain B of table "
      "nat of iptables-legacy: no such file or directory");
  CHECK(message([](Table& table) { table.append("B", jump("A")); }) ==
        "add rule '-j A' to chain B of table nat of iptables-legacy: no such file or directory");
  CHECK(message([](Table& table) { table.delete_chain("A"); }) ==
        "delete chain A of table nat of iptables-legacy: too many links");
  CHECK(message([](Table& table) { table.ensure_chain(std::string(29, 'a')); }) ==
        "make chain " + std::string(29, 'a') +
            " of table nat of iptables-legacy: file name too long");
  CHECK(message([](Table& table) { table.append("A", jump("A")); }) ==
        "change table nat of iptables-legacy: too many levels of symbolic links");
  // Only hooks of table nat's end: the kernel refuses this one.
  CHECK(message([](Table& table) {
          table.append("POSTROUTING", {.target = DestinationNat{address("10.0.0.2"), 0}});
        }) == "change table nat of iptables-legacy: invalid argument");
  CHECK_THROWS_AS(change_nat([](Table& table) { table.insert("A", 1, {.target = Accept{}}); }),
                  std::out_of_range);
  CHECK_THROWS_AS(change_nat([](Table& table) { table.erase("POSTROUTING", 1); }),
                  std::out_of_range);
  // Nothing of all that is left.
  const auto table = open_legacy()->find(Family::kIpv4, "nat");
  CHECK(table->chains() == std::vector<std::string>{"A"});
  CHECK(lines(*table, "POSTROUTING") == std::vector<std::string>{"-j A"});
  CHECK(table->rules("A").empty());
}

TEST_CASE("reading makes no legacy table", "[xtables][legacy][iptables-legacy][ipv6]") {
  Host host;
  const Inside inside(host);
  ::unlink(kLock);
  const auto store = open_legacy();
  CHECK(store->kind() == StoreKind::kLegacy);
  for (const Family family : {Family::kIpv4, Family::kIpv6}) {
    for (const char* name : {"nat", "filter", "mangle"}) {
      CHECK_FALSE(store->find(family, name));
    }
  }
  CHECK(names_in_use() == "|");
  CHECK(::access(kLock, F_OK) != 0);

  store->change(Family::kIpv6, "nat", [](Table& table) { CHECK(table.family() == Family::kIpv6); });
  CHECK(names_in_use() == "|nat\n");
  CHECK_FALSE(store->find(Family::kIpv4, "nat"));
  CHECK(store->find(Family::kIpv6, "nat"));
  CHECK_FALSE(store->find(Family::kIpv6, "na"));
  CHECK(names_in_use() == "|nat\n");
}

TEST_CASE("a kernel without legacy tables is named as what is missing",
          "[xtables][legacy][iptables-legacy]") {
  Host host;
  const Inside inside(host);
  const auto message_after = [](int error_number) {
    return in_child([&] {
      cni::test::deny_call(SYS_getsockopt, 2, IPT_SO_GET_INFO, error_number);
      change_nat([](Table&) {});
      return std::string("no error");
    });
  };
  CHECK(
      message_after(ENOPROTOOPT) ==
      "open table nat of iptables-legacy, which needs ip_tables (CONFIG_IP_NF_IPTABLES_LEGACY) in "
      "the kernel: protocol not available");
  CHECK(message_after(ENOENT) ==
        "open table nat of iptables-legacy, which needs iptable_nat in the kernel: no such file or "
        "directory");
  CHECK(message_after(EPERM) == "open table nat of iptables-legacy: operation not permitted");
}

TEST_CASE("what the kernel lacks for a rule is among what is named",
          "[xtables][legacy][iptables-legacy]") {
  Host host;
  const Inside inside(host);
  CHECK(in_child([] {
          cni::test::deny_call(SYS_setsockopt, 2, IPT_SO_SET_REPLACE, ENOENT);
          change_nat([](Table& table) {
            table.append("OUTPUT", {.matches = {ToLocalAddress{}}, .target = SetMark{1, 1}});
          });
          return std::string("no error");
        }) ==
        "change table nat of iptables-legacy, which needs the extensions MARK, addrtype in the "
        "kernel: no such file or directory");
}
