#include "masquerade/masquerade.h"

#include <algorithm>
#include <catch2/catch.hpp>
#include <string>

#include "masquerade/native_store.h"
#include "support/child.h"
#include "support/snapshot.h"
#include "support/two_namespaces.h"

using cni::inet::Address;
using cni::inet::Family;
using cni::inet::Network;
using cni::masquerade::Config;
using cni::netfilter::Owner;
using cni::test::Child;
using cni::test::Host;
using cni::test::Inside;
using cni::test::Snapshot;
namespace native = cni::masquerade::native;

namespace {

Owner owner(const std::string& id) {
  return {.network = "net", .container_id = id, .ifname = "eth0"};
}

// One of each family, of a subnet that all numbers share.
std::vector<Network> addresses(unsigned number) {
  const auto of = [&](const char* first, int prefix) {
    const Address base = *Address::parse(first);
    return Network{Address::from_bits(base.family(), base.bits() + number), prefix};
  };
  return {of("10.88.0.2", 16), of("fd00::2", 64)};
}

void add(const Owner& who, const std::vector<Network>& what, const Config& config) {
  cni::Undo undo;
  native::add(who, what, config, undo);
  undo.commit();
}

bool is_masqueraded(const Owner& who, const std::vector<Network>& what) {
  cni::attachment::Differences differences;
  native::check(who, what, {}, differences);
  return differences.empty();
}

// Lines of the listing that begin so.
std::size_t count_lines(const Host& host, const std::string& text) {
  const std::string listing = host.run("nft -t list ruleset");
  std::size_t count = 0;
  for (std::size_t at = listing.find(text); at != std::string::npos;
       at = listing.find(text, at + 1)) {
    ++count;
  }
  return count;
}

}  // namespace

TEST_CASE("a thousand attachments have as many rules as one", "[masquerade][nftables][ipv6]") {
  constexpr unsigned kAttachments = 1000;
  Host host;
  const Inside inside(host);
  const Snapshot before = Snapshot::take("");
  add(owner("c0"), addresses(0), {});
  const std::string one = host.run("nft -t list ruleset");
  for (unsigned number = 1; number < kAttachments; ++number) {
    add(owner("c" + std::to_string(number)), addresses(number), {});
  }
  CHECK(host.run("nft -t list ruleset") == one);
  CHECK(is_masqueraded(owner("c0"), addresses(0)));
  CHECK(is_masqueraded(owner("c999"), addresses(999)));
  native::remove(owner("c500"));
  CHECK_FALSE(is_masqueraded(owner("c500"), addresses(500)));
  CHECK(is_masqueraded(owner("c501"), addresses(501)));
  native::remove_if([](const Owner& each) { return each.container_id != "c7"; });
  CHECK(is_masqueraded(owner("c7"), addresses(7)));
  CHECK(host.run("nft -t list ruleset") == one);
  native::remove(owner("c7"));
  CHECK(cni::test::difference(before, Snapshot::take("")) == "");
}

TEST_CASE("a chain goes with the last that has its settings", "[masquerade][nftables]") {
  Host host;
  const Inside inside(host);
  const Config other{.out_interfaces = {"eth0"}};
  add(owner("a"), addresses(1), {});
  add(owner("b"), addresses(2), other);
  add(owner("c"), addresses(3), other);
  CHECK(count_lines(host, "chain to-") == 4);
  native::remove(owner("c"));
  CHECK(count_lines(host, "chain to-") == 4);
  CHECK(count_lines(host, "-out {") == 2);
  // Its settings change, and nobody else has the old ones.
  add(owner("b"), addresses(2), {});
  CHECK(count_lines(host, "chain to-") == 2);
  CHECK(count_lines(host, "chain drop-") == 2);
  CHECK(count_lines(host, "-out {") == 0);
  native::remove(owner("a"));
  CHECK(is_masqueraded(owner("b"), addresses(2)));
  native::remove(owner("b"));
  CHECK(host.run("nft list ruleset").empty());
}

TEST_CASE("containers that swap an address at the same time lose nothing",
          "[masquerade][nftables]") {
  Host host;
  constexpr int kRounds = 25;
  const Config plain;
  const auto live = [&](const std::string& id, unsigned first) {
    for (int round = 0; round < kRounds; ++round) {
      const auto what = addresses(first + static_cast<unsigned>(round) % 2);
      add(owner(id), what, plain);
      native::remove(owner(id));
    }
    add(owner(id), addresses(first), plain);
    return std::string("done");
  };
  const Inside inside(host);
  // Processes: a file lock is no lock between threads.
  Child one([&] { return live("one", 1); });
  Child two([&] { return live("two", 2); });
  CHECK(one.wait() == "done");
  CHECK(two.wait() == "done");
  // Whoever came last to an address has it; nobody has lost one that nobody else wanted.
  add(owner("one"), addresses(1), plain);
  add(owner("two"), addresses(2), plain);
  CHECK(is_masqueraded(owner("one"), addresses(1)));
  CHECK(is_masqueraded(owner("two"), addresses(2)));
  native::remove(owner("one"));
  CHECK(is_masqueraded(owner("two"), addresses(2)));
  native::remove(owner("two"));
  CHECK(host.run("nft list ruleset").empty());
}
