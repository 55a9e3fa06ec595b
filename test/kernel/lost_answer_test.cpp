// Rules that the kernel has made although the ADD failed: its answer was lost.
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter_ipv4/ip_tables.h>

#include <catch2/catch.hpp>
#include <cerrno>
#include <cstring>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/undo.h"
#include "bridge/spoof_check.h"
#include "forward_accept/forward_accept.h"
#include "kernel/spoilt_calls.h"
#include "masquerade/masquerade.h"
#include "support/snapshot.h"
#include "support/two_namespaces.h"

using namespace cni::test;  // NOLINT(google-build-using-namespace)
using cni::Undo;
using cni::inet::Network;
using cni::netfilter::Backend;

namespace {

cni::Request request() {
  return {.command = cni::Command::kAdd,
          .environment = {.command = "ADD",
                          .container_id = "c1",
                          .netns = "/absent",
                          .ifname = "eth0",
                          .args = "",
                          .path = "",
                          .netns_override = false},
          .conf = cni::NetConf::parse(R"({"cniVersion":"1.0.0","name":"net1","type":"main"})"),
          .version = cni::Version::k1_0_0,
          .netns = std::nullopt};
}

// One of each family.
std::vector<Network> addresses() {
  return {*Network::parse("10.88.0.2/16"), *Network::parse("fd00::2/64")};
}

void masquerade(Backend backend, Undo& undo) {
  cni::Result result;
  for (const Network& each : addresses()) result.ips.push_back({.address = each});
  cni::masquerade::add(request(), result, {.backend = backend}, undo);
}

struct Rules {
  const char* name;
  // Commands that make the host one where these rules are kept in this store.
  std::vector<std::string> preparation;
  std::function<void(Undo&)> add;
  // Whether a second ADD finds them in place.
  bool can_be_repeated = true;
  // Then what is lost are the counters of other rules, which is no failure.
  bool is_legacy = false;
};

std::vector<Rules> all_rules() {
  const auto accept = [](Undo& undo) { cni::forward_accept::add(request(), addresses(), undo); };
  return {
      {"masquerading in our own tables",
       {},
       [](Undo& undo) { masquerade(Backend::kNftables, undo); }},
      {"masquerading in iptables-nft",
       {"iptables-nft -t mangle -N KUBE-IPTABLES-HINT"},
       [](Undo& undo) { masquerade(Backend::kIptables, undo); }},
      {.name = "masquerading in iptables-legacy",
       .preparation = {"iptables-legacy -t mangle -N KUBE-IPTABLES-HINT"},
       .add = [](Undo& undo) { masquerade(Backend::kIptables, undo); },
       .is_legacy = true},
      {"forwardAccept in iptables-nft",
       {"iptables-nft -P FORWARD DROP", "ip6tables-nft -P FORWARD DROP"},
       accept},
      {.name = "forwardAccept in iptables-legacy",
       .preparation = {"iptables-legacy -P FORWARD DROP", "ip6tables-legacy -P FORWARD DROP"},
       .add = accept,
       .is_legacy = true},
      {"macspoofchk",
       {},
       [](Undo& undo) {
         cni::bridge::ensure_spoof_check(cni::attachment::Owner::of(request()), "veth1",
                                         *cni::inet::Mac::parse("02:00:00:00:00:01"), undo);
       },
       false},
  };
}

// Loses the answer to the change of rules that has this number, from 1; none of 0. Counts them.
class Loss {
 public:
  explicit Loss(int number) : number_(number) {}

  Calls calls() {
    return {.receive = [this](const Receive& receive) { return receive_unless_lost(receive); },
            .send = [this](const Send& send) { return note(send); },
            .set_option = [this](const Option& option) { return fail_after_change(option); }};
  }
  int changes() const { return changes_; }

 private:
  int note(const Send& send) {
    nlmsghdr first{};
    if (send.bytes.size() < sizeof first) return 0;
    std::memcpy(&first, send.bytes.data(), sizeof first);
    if (first.nlmsg_type == NFNL_MSG_BATCH_BEGIN) is_next_ = ++changes_ == number_;
    return 0;
  }
  ssize_t receive_unless_lost(const Receive& receive) {
    const ssize_t size = receive.really();
    if (!is_next_) return size;
    is_next_ = false;
    errno = ENOBUFS;
    return -1;
  }
  // A legacy table is exchanged by then, and its counters follow.
  int fail_after_change(const Option& option) {
    const bool is_change = option.name == IPT_SO_SET_ADD_COUNTERS &&
                           (option.level == IPPROTO_IP || option.level == IPPROTO_IPV6);
    return is_change && ++changes_ == number_ ? ENOMEM : 0;
  }

  int number_;
  int changes_ = 0;
  bool is_next_ = false;
};

int count_changes(const Rules& rules) {
  Loss none(0);
  const Spoilt spoilt(none.calls());
  Undo undo;
  rules.add(undo);
  undo.commit();
  return none.changes();
}

// Returns whether it failed.
bool add_with_loss(const Rules& rules, int change, Undo& undo) {
  Loss loss(change);
  const Spoilt spoilt(loss.calls());
  try {
    rules.add(undo);
    return false;
  } catch (const std::runtime_error&) {
    return true;
  }
}

}  // namespace

TEST_CASE("what an ADD made whose answer was lost is taken back",
          "[masquerade][forward-accept][macspoofchk][nftables][iptables-nft][iptables-legacy]") {
  const std::size_t number = GENERATE(range(std::size_t{0}, all_rules().size()));
  const Rules rules = all_rules().at(number);
  INFO(rules.name);
  const Host host;
  const Inside inside(host);
  for (const std::string& command : rules.preparation) host.run(command);
  // Shared tables and chains are there from now on.
  {
    Undo undo;
    rules.add(undo);
  }
  const Snapshot before = Snapshot::take("");
  SECTION("all of it") {
    const Host other;
    int changes = 0;
    other.in([&] {
      for (const std::string& command : rules.preparation) other.run(command);
      changes = count_changes(rules);
    });
    REQUIRE(changes > 0);
    for (int change = 1; change <= changes; ++change) {
      INFO("change " << change);
      Undo undo;
      CHECK(add_with_loss(rules, change, undo) == !rules.is_legacy);
      CHECK(difference(before, Snapshot::take("")) != "");
      undo.roll_back();
      CHECK(difference(before, Snapshot::take("")) == "");
    }
  }
  SECTION("but not what an earlier ADD made") {
    if (!rules.can_be_repeated) return;
    const int changes = count_changes(rules);
    const Snapshot with_rules = Snapshot::take("");
    CHECK(difference(before, with_rules) != "");
    for (int change = 0; change <= changes; ++change) {
      INFO("change " << change);
      Undo undo;
      // Where nothing has to be changed, there is nothing to lose.
      add_with_loss(rules, change, undo);
      undo.roll_back();
      CHECK(difference(with_rules, Snapshot::take("")) == "");
    }
  }
}
