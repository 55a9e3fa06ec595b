// What portmap reads of its books for one attachment, against all there is.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <catch2/catch.hpp>
#include <optional>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "portmap/books.h"
#include "portmap/claims.h"
#include "support/sandbox.h"
#include "support/two_namespaces.h"

using namespace cni::portmap;  // NOLINT(google-build-using-namespace)
using Catch::Matchers::Contains;
using cni::inet::Family;
using cni::netfilter::Owner;
using cni::netfilter::StoreChoice;

namespace {

constexpr int kContainers = 25;
constexpr int kCalls = 250;

// Containers that want few ports in many ways, so that most calls meet others.
class Wishes {
 public:
  explicit Wishes(unsigned seed) : random_(seed) {}

  int below(int limit) { return std::uniform_int_distribution(0, limit - 1)(random_); }

  Holding holding(int container) {
    const auto address = cni::inet::Network::parse(fmt::format("10.1.0.{}/24", container + 1));
    Holding wanted{.owner = owner(container),
                   .store = below(3) == 0 ? StoreChoice::kDialect : StoreChoice::kNative,
                   .address = *address,
                   .masquerade = below(2) == 0 ? Masquerade::kNone : Masquerade::kNear};
    std::vector<Run> runs;
    for (int left = 1 + below(3); left > 0; --left) runs.push_back(run());
    wanted.runs = coalesce(runs);
    if (wanted.store == StoreChoice::kDialect) wanted.chain = fmt::format("CNI-DN-{}", container);
    return wanted;
  }

  static Owner owner(int container) {
    return {.network = "net", .container_id = fmt::format("c{}", container), .ifname = "eth0"};
  }

 private:
  Run run() {
    const auto port = static_cast<std::uint16_t>(8000 + below(12));
    Run run{.protocol = below(4) == 0 ? Protocol::kUdp : Protocol::kTcp,
            .host_port = port,
            .container_port = below(2) == 0 ? port : std::uint16_t{80}};
    if (below(3) == 0) run.host_ip = cni::inet::Address::parse(fmt::format("10.0.0.{}", below(2)));
    // Past a thousand all there is is read.
    constexpr std::array<std::uint32_t, 6> kCounts = {1, 1, 1, 2, 3, 1500};
    run.count = kCounts.at(static_cast<std::size_t>(below(6)));
    return run;
  }

  std::mt19937 random_;
};

// One call: the ADD of `wanted`, or the DEL of `owner`.
struct Call {
  Owner owner;
  std::optional<Holding> wanted;
  ConflictPolicy policy;
};

// What it makes of `before`; nothing if it is refused.
std::optional<FamilyPlan> plan(const Call& call, std::vector<Holding> before) {
  FamilyPlan plan{.family = Family::kIpv4, .before = std::move(before), .after = {}};
  const auto is_alive = [](const Holding& one) { return one.address.address.text().back() != '3'; };
  try {
    plan.after = call.wanted ? with(plan.before, *call.wanted, call.policy, is_alive)
                             : without(plan.before,
                                       [&](const Holding& one) { return one.owner == call.owner; });
  } catch (const cni::Busy&) {
    return std::nullopt;
  }
  return plan;
}

// By attachment: before and after.
std::vector<std::string> changed(const std::optional<FamilyPlan>& plan) {
  if (!plan) return {"refused"};
  std::vector<std::string> texts;
  for (const Change& change : changes(plan->before, plan->after)) {
    const auto text = [](const std::optional<Holding>& one) {
      if (!one) return std::string("nothing");
      return one->owner.container_id + " " + cni::json::compact(render(*one));
    };
    texts.push_back(text(change.before) + " -> " + text(change.after));
  }
  std::ranges::sort(texts);
  return texts;
}

}  // namespace

TEST_CASE("what concerns a call is all it has to know of the books", "[portmap][nftables]") {
  cni::test::Host host;
  const cni::test::Inside inside(host);
  const unsigned seed = GENERATE(1U, 2U, 3U);
  CAPTURE(seed);
  Wishes wishes(seed);
  int fewer = 0;
  int with_others = 0;
  for (int number = 0; number < kCalls; ++number) {
    const int container = wishes.below(kContainers);
    Call call{.owner = Wishes::owner(container), .wanted = {}, .policy = {}};
    if (wishes.below(3) != 0) call.wanted = wishes.holding(container);
    constexpr std::array kPolicies = {ConflictPolicy::kError, ConflictPolicy::kReplace,
                                      ConflictPolicy::kShare};
    call.policy = kPolicies.at(static_cast<std::size_t>(wishes.below(3)));

    Books books(Books::Use::kChange);
    const auto all = books.list(Family::kIpv4);
    const auto concerned = books.list_concerned(
        Family::kIpv4, {call.owner}, call.wanted ? call.wanted->runs : std::vector<Run>());
    const auto planned = plan(call, concerned);
    CAPTURE(number, container);
    REQUIRE(changed(planned) == changed(plan(call, all)));
    if (concerned.size() < all.size()) ++fewer;
    if (planned && changed(planned).size() > 1) ++with_others;
    if (planned) books.commit({*planned}, "test");
  }
  // It was about something.
  CHECK(fewer > kCalls / 4);
  CHECK(with_others > kCalls / 10);
}

TEST_CASE("the books count who needs route_localnet of an interface", "[portmap][nftables]") {
  cni::test::Host host;
  const cni::test::Inside inside(host);
  const auto store = GENERATE(StoreChoice::kNative, StoreChoice::kDialect);
  Wishes wishes(1);
  FamilyPlan plan{.family = Family::kIpv4, .before = {}, .after = {}};
  const auto localnet_of = [](int container) {
    // The first two are odd ones; nft(8) does not read a name back that has such characters.
    if (container < 2) return Localnet{.interface = "br@1", .reset = true};
    return Localnet{.interface = container % 2 == 0 ? "br0" : "br1", .reset = container % 5 == 0};
  };
  for (int container = 0; container < 20; ++container) {
    Holding one = wishes.holding(container);
    one.store = store;
    one.chain = store == StoreChoice::kNative ? "" : "CNI-DN-" + std::to_string(container);
    one.runs.clear();
    one.waiting.clear();
    one.localnet = localnet_of(container);
    plan.after.push_back(one);
  }
  Books books(Books::Use::kChange);
  CHECK_FALSE(books.of(Family::kIpv4).has_localnet());
  books.commit({plan}, "test");
  CHECK(books.of(Family::kIpv4).has_localnet());
  const auto count = [&](const Localnet& localnet, const std::vector<int>& but = {}) {
    std::vector<Owner> owners;
    for (const int container : but) owners.push_back(Wishes::owner(container));
    return books.of(Family::kIpv4).count_localnet(localnet, owners);
  };
  const auto expected = [&](const Localnet& localnet) {
    return static_cast<std::size_t>(std::ranges::count(plan.after, localnet, &Holding::localnet));
  };
  const std::vector<Localnet> all = {
      {"br0", true}, {"br0", false}, {"br1", true}, {"br1", false}, {"br@1", true}};
  for (const Localnet& one : all) {
    CAPTURE(one.interface, one.reset);
    CHECK(count(one) == expected(one));
    CHECK(expected(one) > 0);
  }
  // 10 and 16 have to do with br0, 3 has not, and 99 is not there.
  CHECK(count({"br0", true}, {10, 16, 3, 99}) == expected({"br0", true}) - 1);
  CHECK(count({"br0", false}, {10, 16, 3, 99}) == expected({"br0", false}) - 1);
  CHECK(count({"br2", true}) == 0);

  // The chain of an interface goes with the last who needs it.
  FamilyPlan fewer{.family = Family::kIpv4, .before = plan.after, .after = plan.after};
  std::erase_if(fewer.after, [](const Holding& one) { return one.localnet->interface == "br1"; });
  books.commit({fewer}, "test");
  const std::string chains = host.run("nft list chains ip");
  CHECK_THAT(chains, Contains("localnet-br0") && !Contains("localnet-br1") &&
                         !Contains("localnet-kept-br1"));

  // Whoever lists the rule set can read it again.
  const cni::test::TempDirectory directory;
  const std::string saved = directory.write("rules", host.run("nft list ruleset"));
  host.run("nft flush ruleset");
  CHECK(count({"br0", true}) == 0);
  host.run("nft -f " + saved);
  CHECK(count({"br0", true}) == expected({"br0", true}));
  CHECK(count({"br@1", true}) == 2);
}
