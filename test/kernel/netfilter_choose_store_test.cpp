#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <catch2/catch.hpp>
#include <cerrno>
#include <cstdlib>
#include <filesystem>
#include <functional>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

#include "base/error.h"
#include "kernel/spoilt_calls.h"
#include "netfilter/choose_store.h"
#include "nftables/nftables_socket.h"
#include "support/child.h"
#include "support/sandbox.h"
#include "support/two_namespaces.h"

using namespace cni::netfilter;  // NOLINT(google-build-using-namespace)
using cni::test::FailingAllocation;
using cni::test::Host;
using cni::test::Inside;
using cni::test::read_whole_file;
using cni::test::TempDirectory;
using cni::xtables::StoreKind;

namespace {

constexpr std::array kTools = {"iptables-nft", "ip6tables-nft", "iptables-legacy",
                               "ip6tables-legacy"};

// What a child does to the kernel it sees.
using Condition = std::function<void()>;

void nothing_special() {}

void without_nf_tables() {
  constexpr std::uint32_t kNetfilter = 12;  // NETLINK_NETFILTER
  cni::test::deny_call(SYS_socket, 2, kNetfilter, EPROTONOSUPPORT);
}

void hide(const char* directory) {
  if (::unshare(CLONE_NEWNS) != 0 ||
      ::mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0 ||
      ::mount("none", directory, "tmpfs", 0, nullptr) != 0) {
    cni::throw_errno(std::string("hide ") + directory);
  }
}

void without_legacy() {
  hide("/proc");
}

void without_program() {
  hide("/usr/sbin");
}

void without_both() {
  without_legacy();
  without_nf_tables();
}

std::string name(StoreChoice choice) {
  switch (choice) {
    case StoreChoice::kNative:
      return "native";
    case StoreChoice::kDialect:
      return "dialect";
    case StoreChoice::kLegacy:
      return "legacy";
  }
  return "?";
}

struct Question {
  Backend backend = Backend::kAuto;
  std::optional<std::string> mark_chain = {};
  std::string path = "/nowhere";  // PATH
  Condition condition = nothing_special;
};

// The choice in this namespace, or what the exception says.
std::string choose(const Question& question) {
  return cni::test::in_child([&] {
    ::setenv("PATH", question.path.c_str(), 1);
    question.condition();
    return name(choose_store(question.backend, question.mark_chain));
  });
}

std::string choose_automatically() {
  return choose({});
}

std::string expected_of(const std::string& tool) {
  return tool.ends_with("nft") ? "dialect" : "legacy";
}

void make_chain(const Host& host, const std::string& tool, const std::string& table,
                const std::string& chain) {
  host.run(tool + " -t " + table + " -N " + chain);
}

// A directory for PATH in which `iptables` leads to a file `target` by two links.
class FakeTool {
 public:
  explicit FakeTool(const std::string& target) {
    const std::string file =
        root_.write("bin/" + target, "#!/bin/sh\ntouch " + (root_ / "was-run") + "\n", 0755);
    if (target == "iptables") return;
    std::filesystem::create_directory(root_ / "alternatives");
    std::filesystem::create_symlink("../bin/" + target, root_ / "alternatives/iptables");
    std::filesystem::create_symlink("../alternatives/iptables", root_ / "bin/iptables");
  }
  std::string path() const { return root_ / "bin"; }
  bool was_run() const { return std::filesystem::exists(root_ / "was-run"); }

 private:
  TempDirectory root_;
};

std::string legacy_names() {
  return read_whole_file("/proc/thread-self/net/ip_tables_names") +
         read_whole_file("/proc/thread-self/net/ip6_tables_names");
}

}  // namespace

TEST_CASE("rules are kept in tables of our own where nothing speaks against it",
          "[netfilter][nftables][iptables-legacy][iptables-nft]") {
  Host host;
  const Inside inside(host);
  const auto generation = [] { return cni::nftables::Socket::here().generation(); };
  const auto before = generation();
  CHECK(choose_automatically() == "native");
  CHECK(choose({.mark_chain = "KUBE-MARK-MASQ"}) == "native");
  CHECK(choose({.backend = Backend::kNftables}) == "native");
  CHECK(choose({.backend = Backend::kIptables, .condition = without_program}) == "dialect");
  // Nobody sees that it was asked.
  CHECK(legacy_names().empty());
  CHECK(host.run("nft list ruleset").empty());
  CHECK(generation() == before);

  // Where there is no other choice.
  CHECK(choose({.condition = without_legacy}) == "native");

  // What others have, in tables that are not those of xtables, is no reason.
  for (const char* tool : kTools) make_chain(host, tool, "filter", "DOCKER");
  host.run("nft add table ip cni_hostport");
  host.run("nft add chain ip cni_hostport CNI-FORWARD");
  CHECK(choose_automatically() == "native");
}

TEST_CASE("a chain for marks that is named decides where rules are kept",
          "[netfilter][nftables][iptables-legacy][iptables-nft]") {
  for (const std::string tool : kTools) {
    INFO(tool);
    Host host;
    const Inside inside(host);
    make_chain(host, tool, "filter", "MARK-IT");
    CHECK(choose({.mark_chain = "MARK-IT"}) == "native");
    make_chain(host, tool, "nat", "MARK-IT");
    CHECK(choose({.mark_chain = "MARK-IT"}) == expected_of(tool));
    CHECK(choose({.backend = Backend::kIptables, .mark_chain = "MARK-IT"}) == expected_of(tool));
    CHECK(choose({.mark_chain = "MARK"}) == "native");
    // It comes before attachments.
    const std::string other = tool.ends_with("nft") ? "iptables-legacy" : "iptables-nft";
    make_chain(host, other, "nat", "CNI-HOSTPORT-DNAT");
    CHECK(choose({.mark_chain = "MARK-IT"}) == expected_of(tool));
    CHECK(choose_automatically() == expected_of(other));
    make_chain(host, other, "nat", "MARK-IT");
    CHECK(choose({.mark_chain = "MARK-IT"}) == "dialect");
  }
}

TEST_CASE("attachments of the reference suite decide where rules are kept",
          "[netfilter][nftables][iptables-legacy][iptables-nft]") {
  const std::string chain = GENERATE("CNI-HOSTPORT-DNAT", "CNI-DN-0123456789abcdef01234",
                                     "CNI-0123456789abcdef01234567", "CNI-FORWARD");
  const std::string table = chain == "CNI-FORWARD" ? "filter" : "nat";
  for (const std::string tool : kTools) {
    INFO(tool << " " << chain);
    Host host;
    const Inside inside(host);
    make_chain(host, tool, table, chain);
    if (table == "nat") {
      const std::string from = chain.starts_with("CNI-DN-") ? "CNI-HOSTPORT-DNAT" : "POSTROUTING";
      if (from != "POSTROUTING") make_chain(host, tool, table, from);
      host.run(tool + " -t nat -A " + from + " -j " + chain);
    }
    CHECK(choose_automatically() == expected_of(tool));
    // Against what the name of the program says.
    const FakeTool fake(tool.ends_with("nft") ? "iptables-legacy" : "iptables-nft");
    CHECK(choose({.backend = Backend::kIptables, .path = fake.path()}) == expected_of(tool));
  }
}

TEST_CASE("without memory no other place is chosen",
          "[netfilter][nftables][iptables-legacy][iptables-nft][allocations]") {
  Host host;
  const Inside inside(host);
  const FakeTool fake("iptables-legacy");
  constexpr long kMany = 1000;
  int refused = 0;
  for (long number = 1; number < kMany; ++number) {
    INFO("allocation " << number);
    const std::string answer = cni::test::in_child([&]() -> std::string {
      ::setenv("PATH", fake.path().c_str(), 1);
      const FailingAllocation failure(number);
      try {
        const StoreChoice choice = choose_store(Backend::kIptables, std::nullopt);
        return FailingAllocation::happened() ? name(choice) : "all succeeded";
      } catch (const std::exception&) {
        return "refused";
      }
    });
    if (answer == "all succeeded") break;
    if (answer == "refused") {
      ++refused;
    } else {
      CHECK(answer == "legacy");
    }
  }
  CHECK(refused > 0);
}

TEST_CASE("a chain that forwardAccept made is no sign of the reference suite",
          "[netfilter][nftables][iptables-legacy][iptables-nft]") {
  for (const std::string tool : kTools) {
    INFO(tool);
    Host host;
    const Inside inside(host);
    const FakeTool fake(tool.ends_with("nft") ? "iptables-legacy" : "iptables-nft");
    const Question iptables = {.backend = Backend::kIptables, .path = fake.path()};
    make_chain(host, tool, "filter", "CNI-FORWARD");
    make_chain(host, tool, "nat", "CNI-PLUMB-FORWARD");  // says nothing there
    CHECK(choose_automatically() == expected_of(tool));
    CHECK(choose(iptables) == expected_of(tool));
    make_chain(host, tool, "filter", "CNI-PLUMB-FORWARD");
    CHECK(choose_automatically() == "native");
    CHECK(choose(iptables) != expected_of(tool));
    // Of other chains it says nothing.
    make_chain(host, tool, "nat", "CNI-HOSTPORT-DNAT");
    CHECK(choose_automatically() == expected_of(tool));
    CHECK(choose(iptables) == expected_of(tool));
  }
}

TEST_CASE("names that only look like those of the reference suite decide nothing",
          "[netfilter][nftables][iptables-legacy][iptables-nft]") {
  Host host;
  const Inside inside(host);
  for (const char* tool : kTools) {
    for (const char* chain : {"CNI-0123456789ABCDEF01234567", "CNI-0123456789abcdef0123456",
                              "CNI-FORWARDS", "CNI-DNS", "XCNI-DN-1", "CNI-HOSTPORT-DNATS"}) {
      make_chain(host, tool, "nat", chain);
      host.run(std::string(tool) + " -t nat -A POSTROUTING -j " + chain);
    }
  }
  CHECK(choose_automatically() == "native");
}

TEST_CASE("to choose costs the same on a host with thousands of chains",
          "[netfilter][nftables][iptables-legacy][iptables-nft]") {
  Host host;
  const Inside inside(host);
  host.run("iptables-nft -t nat -A POSTROUTING -j ACCEPT");
  const auto count_answers = [] {
    int answers = 0;
    const cni::test::Spoilt counting([&](const cni::test::Receive& receive) {
      ++answers;
      return receive.really();
    });
    CHECK(name(choose_store(Backend::kAuto)) == "native");
    return answers;
  };
  const int with_few = count_answers();
  {
    using namespace cni::nftables;  // NOLINT(google-build-using-namespace)
    Batch batch;
    for (int at = 0; at < 3000; ++at) {
      batch.ensure_chain({.table = {.family = Family::kIp4, .name = "nat"},
                          .name = "KUBE-SVC-" + std::to_string(at)});
    }
    Socket::here().commit(batch, "add chains");
  }
  CHECK(count_answers() == with_few);
}

TEST_CASE("with attachments in both stores of xtables the program iptables decides",
          "[netfilter][nftables][iptables-legacy][iptables-nft]") {
  Host host;
  const Inside inside(host);
  make_chain(host, "iptables-nft", "nat", "CNI-HOSTPORT-DNAT");
  make_chain(host, "ip6tables-legacy", "nat", "CNI-HOSTPORT-DNAT");
  // The hint counts less.
  make_chain(host, "iptables-nft", "mangle", "KUBE-IPTABLES-HINT");
  CHECK(choose_automatically() == "dialect");
  const FakeTool legacy("iptables-legacy");
  CHECK(choose({.backend = Backend::kIptables, .path = legacy.path()}) == "legacy");
  const FakeTool nft("iptables-nft");
  CHECK(choose({.backend = Backend::kIptables, .path = nft.path()}) == "dialect");
  CHECK(choose({.backend = Backend::kIptables, .condition = without_program}) == "dialect");
}

TEST_CASE("kubelet's hint shows which iptables the host has",
          "[netfilter][nftables][iptables-legacy][iptables-nft]") {
  const std::string hint = GENERATE("KUBE-IPTABLES-HINT", "KUBE-KUBELET-CANARY");
  for (const std::string tool : kTools) {
    INFO(tool << " " << hint);
    Host host;
    const Inside inside(host);
    const FakeTool fake(tool.ends_with("nft") ? "iptables-legacy" : "iptables-nft");
    make_chain(host, tool, "nat", hint);
    CHECK(choose({.backend = Backend::kIptables, .path = fake.path()}) != expected_of(tool));
    make_chain(host, tool, "mangle", hint);
    CHECK(choose({.backend = Backend::kIptables, .path = fake.path()}) == expected_of(tool));
    CHECK(choose_automatically() == "native");
  }
  // Those of nf_tables are looked for first.
  Host host;
  const Inside inside(host);
  make_chain(host, "iptables-legacy", "mangle", hint);
  make_chain(host, "ip6tables-nft", "mangle", hint);
  const FakeTool legacy("iptables-legacy");
  CHECK(choose({.backend = Backend::kIptables, .path = legacy.path()}) == "dialect");
}

TEST_CASE("the name of the program iptables shows which one it is",
          "[netfilter][nftables][iptables-legacy][iptables-nft]") {
  Host host;
  const Inside inside(host);
  const auto choose_with = [](const std::string& path) {
    return choose({.backend = Backend::kIptables, .path = path});
  };
  for (const auto& [target, expected] : std::vector<std::pair<std::string, std::string>>{
           {"xtables-nft-multi", "dialect"},
           {"iptables-nft", "dialect"},
           {"xtables-legacy-multi", "legacy"},
           {"iptables-legacy", "legacy"},
           {"xtables-multi", "legacy"},
           {"iptables-multi", "legacy"},
       }) {
    INFO(target);
    const FakeTool fake(target);
    CHECK(choose_with(fake.path()) == expected);
    CHECK_FALSE(fake.was_run());
  }

  // The first one in PATH that can be run; names that are not absolute do not count.
  const FakeTool legacy("iptables-legacy");
  const FakeTool nft("iptables-nft");
  const TempDirectory root;
  root.write("plain/iptables", "", 0644);
  std::filesystem::create_directories(root / "directory/iptables");
  CHECK(choose_with("::/nowhere:" + root / "plain" + ":" + root / "directory" + ":" +
                    legacy.path() + ":" + nft.path()) == "legacy");
  CHECK(choose_with(nft.path() + ":" + legacy.path()) == "dialect");
  const std::string relative = std::filesystem::relative(legacy.path());
  CHECK(choose_with(relative + ":" + nft.path()) == "dialect");
}

TEST_CASE("a program iptables whose name says nothing works where there are tables",
          "[netfilter][nftables][iptables-legacy][iptables-nft]") {
  for (const char* target : {"iptables", "iptables-wrapper"}) {
    INFO(target);
    Host host;
    const Inside inside(host);
    const FakeTool fake(target);
    const Question question = {.backend = Backend::kIptables, .path = fake.path()};
    CHECK(choose(question) == "dialect");
    host.run("ip6tables-legacy -t filter -S");
    CHECK(choose(question) == "legacy");
    host.run("nft add table ip other");
    host.run("nft add chain ip other c");
    CHECK(choose(question) == "legacy");
    host.run("iptables-nft -t filter -A INPUT -j ACCEPT");
    CHECK(choose(question) == "dialect");
    CHECK_FALSE(fake.was_run());
  }
}

TEST_CASE("without a program iptables the first store that works is its own",
          "[netfilter][nftables][iptables-legacy][iptables-nft]") {
  Host host;
  const Inside inside(host);
  const auto choose_without = [](const Condition& condition) {
    return choose({.backend = Backend::kIptables, .condition = [&] {
                     without_program();
                     condition();
                   }});
  };
  CHECK(choose_without(nothing_special) == "dialect");
  CHECK(choose_without(without_nf_tables) == "legacy");
  CHECK(choose_without(without_legacy) == "dialect");
  CHECK(choose_without(without_both) ==
        "keep rules as iptables does, which needs nf_tables with nft_compat and xt_comment "
        "(CONFIG_NF_TABLES_IPV4, CONFIG_NFT_COMPAT, CONFIG_NETFILTER_XT_MATCH_COMMENT) or "
        "ip_tables (CONFIG_IP_NF_IPTABLES_LEGACY) in the kernel: operation not supported");
}

TEST_CASE("what the kernel lacks is named, and nothing else is chosen in its place",
          "[netfilter][nftables][iptables-legacy][iptables-nft]") {
  Host host;
  const Inside inside(host);
  CHECK(choose({.condition = without_nf_tables}) == "legacy");
  CHECK(choose({.condition = without_both}) ==
        "keep rules, which needs nf_tables (CONFIG_NF_TABLES, CONFIG_NF_TABLES_IPV4) or ip_tables "
        "(CONFIG_IP_NF_IPTABLES_LEGACY) in the kernel: operation not supported");
  CHECK(choose({.backend = Backend::kNftables, .condition = without_nf_tables}) ==
        "keep rules in tables of our own, which needs nf_tables (CONFIG_NF_TABLES, "
        "CONFIG_NF_TABLES_IPV4) in the kernel: operation not supported");
  const FakeTool legacy("iptables-legacy");
  CHECK(
      choose({.backend = Backend::kIptables, .path = legacy.path(), .condition = without_legacy}) ==
      "keep rules as the host's iptables-legacy does, which needs ip_tables "
      "(CONFIG_IP_NF_IPTABLES_LEGACY) in the kernel: operation not supported");
  const FakeTool nft("iptables-nft");
  CHECK(
      choose({.backend = Backend::kIptables, .path = nft.path(), .condition = without_nf_tables}) ==
      "keep rules as the host's iptables-nft does, which needs nf_tables with nft_compat and "
      "xt_comment (CONFIG_NF_TABLES_IPV4, CONFIG_NFT_COMPAT, CONFIG_NETFILTER_XT_MATCH_COMMENT) "
      "in the kernel: operation not supported");
}

TEST_CASE("nf_tables that does not serve IP is passed over",
          "[netfilter][nftables-without-ip][iptables-legacy]") {
  Host host;
  const Inside inside(host);
  CHECK(choose_automatically() == "legacy");
  CHECK(choose({.backend = Backend::kIptables, .condition = without_program}) == "legacy");
  CHECK(legacy_names().empty());
}

TEST_CASE("clean-up looks into the stores that the kernel has",
          "[netfilter][nftables][iptables-legacy][iptables-nft]") {
  Host host;
  const Inside inside(host);
  const auto kinds = [](const Condition& condition) {
    return cni::test::in_child([&] {
      condition();
      std::string text;
      for (const auto& store : existing_xtables_stores()) {
        text += store->kind() == StoreKind::kDialect ? "D" : "L";
      }
      return text;
    });
  };
  CHECK(kinds(nothing_special) == "DL");
  CHECK(kinds(without_nf_tables) == "L");
  CHECK(kinds(without_legacy) == "D");
  CHECK(kinds(without_both).empty());
  CHECK(legacy_names().empty());

  CHECK(open_xtables_store(StoreChoice::kDialect)->kind() == StoreKind::kDialect);
  CHECK(open_xtables_store(StoreChoice::kLegacy)->kind() == StoreKind::kLegacy);
  CHECK_THROWS_AS(open_xtables_store(StoreChoice::kNative), std::invalid_argument);
}
