#include "forward_accept/accept_rules.h"

#include <catch2/catch.hpp>
#include <string>

#include "unit/xtables/memory_table.h"

using namespace cni::forward_accept;  // NOLINT(google-build-using-namespace)
using cni::inet::Network;
using cni::netfilter::Owner;
using cni::test::MemoryTable;
using cni::xtables::Rule;

namespace {

using Texts = std::vector<std::string>;

std::vector<Network> networks(const Texts& texts) {
  std::vector<Network> all;
  for (const std::string& text : texts) all.push_back(*Network::parse(text));
  return all;
}

Owner owner(const std::string& container = "c1", const std::string& ifname = "eth0") {
  return {.network = "net1", .container_id = container, .ifname = ifname};
}

const std::string kForwardJump =
    R"(-A FORWARD -m comment --comment "CNI firewall plugin rules" -j CNI-FORWARD)";
const std::string kAdminJump =
    R"(-A CNI-FORWARD -m comment --comment "CNI firewall plugin admin overrides" -j CNI-ADMIN)";

Texts accepting(const std::string& address) {
  return {
      "-A CNI-FORWARD -d " + address + "/32 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT",
      "-A CNI-FORWARD -s " + address + "/32 -j ACCEPT"};
}

// The rules of one chain, in order.
Texts rules_of(const MemoryTable& table, const std::string& chain) {
  Texts lines;
  for (const std::string& line : table.lines()) {
    if (line.starts_with("-A " + chain + " ")) lines.push_back(line);
  }
  return lines;
}

Texts joined(const std::vector<Texts>& parts) {
  Texts all;
  for (const Texts& part : parts) all.insert(all.end(), part.begin(), part.end());
  return all;
}

// The table of a host whose chain FORWARD has a rule of somebody else's.
struct Filter {
  Filter() { table.append("FORWARD", {.target = cni::xtables::Jump{"DOCKER-USER"}}); }

  MemoryTable table;
  const Texts before = {":FORWARD", "-A FORWARD -j DOCKER-USER"};

  void add(const Owner& who, const Texts& addresses) { add_to(table, who, networks(addresses)); }
  Texts forward() const { return rules_of(table, "CNI-FORWARD"); }
};

}  // namespace

TEST_CASE("what is forwarded is accepted by the rules of the reference suite's firewall",
          "[forward-accept]") {
  Filter filter;
  filter.add(owner(), {"10.1.2.2/24", "10.1.3.2/24"});
  CHECK(rules_of(filter.table, "FORWARD") == Texts{kForwardJump, "-A FORWARD -j DOCKER-USER"});
  CHECK(filter.forward() == joined({{kAdminJump}, accepting("10.1.2.2"), accepting("10.1.3.2")}));
  CHECK(filter.table.rules("CNI-ADMIN").empty());
  // For us: one record per address, and a mark that the chains are ours.
  CHECK(filter.table.rules(kRecords).size() == 2);
  CHECK(filter.table.has_chain("CNI-PLUMB-FORWARD"));
  SECTION("again, with no rule twice") {
    const Texts once = filter.table.lines();
    filter.add(owner(), {"10.1.2.2/24", "10.1.3.2/24"});
    CHECK(filter.table.lines() == once);
  }
  SECTION("in place of what the attachment had") {
    filter.add(owner(), {"10.1.4.2/24"});
    CHECK(filter.forward() == joined({{kAdminJump}, accepting("10.1.4.2")}));
    CHECK(filter.table.rules(kRecords).size() == 1);
  }
  SECTION("until it goes, with all chains") {
    remove_from(filter.table, owner("c2"));
    CHECK(filter.forward().size() == 5);
    remove_from(filter.table, owner());
    CHECK(filter.table.lines() == filter.before);
    remove_from(filter.table, owner());
    CHECK(filter.table.lines() == filter.before);
  }
}

TEST_CASE("jumps that somebody flushed come back, and first", "[forward-accept]") {
  Filter filter;
  filter.add(owner(), {"10.1.2.2/24"});
  filter.table.flush("FORWARD");
  filter.table.append("FORWARD", {.target = cni::xtables::Jump{"DOCKER-USER"}});
  filter.add(owner("c2"), {"10.1.2.3/24"});
  CHECK(rules_of(filter.table, "FORWARD") == Texts{kForwardJump, "-A FORWARD -j DOCKER-USER"});
}

TEST_CASE("an address is accepted for the last who came to it", "[forward-accept]") {
  Filter filter;
  filter.add(owner(), {"10.1.2.2/24", "10.1.2.3/24"});
  filter.add(owner("c2"), {"10.1.2.2/24"});
  remove_from(filter.table, owner());
  CHECK(filter.forward() == joined({{kAdminJump}, accepting("10.1.2.2")}));
  remove_from(filter.table, owner("c2"));
  CHECK(filter.table.lines() == filter.before);
}

TEST_CASE("two interfaces of a container are accepted apart", "[forward-accept]") {
  Filter filter;
  filter.add(owner(), {"10.1.2.2/24"});
  filter.add(owner("c1", "net1"), {"10.1.3.2/24"});
  remove_from(filter.table, owner());
  CHECK(filter.forward() == joined({{kAdminJump}, accepting("10.1.3.2")}));
}

TEST_CASE("a network that was renamed is found by container and interface", "[forward-accept]") {
  Filter filter;
  filter.add(owner(), {"10.1.2.2/24"});
  Owner renamed = owner();
  renamed.network = "net2";
  remove_from(filter.table, renamed);
  CHECK(filter.table.lines() == filter.before);
}

TEST_CASE("chains that the reference suite or an operator uses stay", "[forward-accept]") {
  Filter filter;
  SECTION("there before") {
    filter.table.ensure_chain("CNI-FORWARD");
    filter.table.ensure_chain("CNI-ADMIN");
    filter.add(owner(), {"10.1.2.2/24"});
    CHECK_FALSE(filter.table.has_chain("CNI-PLUMB-FORWARD"));
  }
  SECTION("with a rule of the operator") {
    filter.add(owner(), {"10.1.2.2/24"});
    filter.table.append("CNI-ADMIN", {.target = cni::xtables::Drop{}});
  }
  SECTION("with rules of the reference suite") {
    filter.add(owner(), {"10.1.2.2/24"});
    filter.table.append("CNI-FORWARD", {.target = cni::xtables::Accept{}});
  }
  SECTION("jumped to from elsewhere") {
    filter.add(owner(), {"10.1.2.2/24"});
    filter.table.ensure_chain("MINE");
    filter.table.append("MINE", {.target = cni::xtables::Jump{"CNI-ADMIN"}});
  }
  remove_from(filter.table, owner());
  CHECK(filter.table.has_chain("CNI-FORWARD"));
  CHECK(filter.table.has_chain("CNI-ADMIN"));
  CHECK_FALSE(filter.table.has_chain(kRecords));
  CHECK(rules_of(filter.table, "FORWARD").front() == kForwardJump);
  for (const std::string& line : accepting("10.1.2.2")) {
    CHECK(std::ranges::count(filter.forward(), line) == 0);
  }
}

TEST_CASE("GC removes what is of the network and of no valid attachment", "[forward-accept]") {
  Filter filter;
  filter.add(owner("c1"), {"10.1.2.2/24"});
  filter.add(owner("c2"), {"10.1.2.3/24"});
  Owner foreign = owner("c3");
  foreign.network = "net10";
  filter.add(foreign, {"10.1.2.4/24"});
  collect_from(filter.table, "net1", {owner("c1")});
  CHECK(filter.forward() == joined({{kAdminJump}, accepting("10.1.2.2"), accepting("10.1.2.4")}));
  collect_from(filter.table, "net1", {});
  collect_from(filter.table, "net10", {});
  CHECK(filter.table.lines() == filter.before);
}

TEST_CASE("a record that is not one of ours has no address", "[forward-accept]") {
  Filter filter;
  filter.add(owner(), {"10.1.2.2/24"});
  filter.table.append(kRecords, {.target = cni::xtables::Accept{}});
  filter.table.chains_[kRecords].push_back({.rule = {}, .jump_target = "", .comment = ""});
  collect_from(filter.table, "net1", {});
  CHECK(filter.forward() == Texts{kAdminJump});
  CHECK(filter.table.rules(kRecords).size() == 2);
}

TEST_CASE("each rule that forwarding lacks is named", "[forward-accept]") {
  Filter filter;
  const auto addresses = networks({"10.1.2.2/24"});
  add_to(filter.table, owner(), addresses);
  CHECK(differences_from(filter.table, owner(), addresses).empty());
  filter.table.flush("FORWARD");
  CHECK(differences_from(filter.table, owner(), addresses) ==
        Texts{"IPv4 rule of table filter is missing: " + kForwardJump});
  CHECK(differences_from(MemoryTable(), owner(), addresses).size() == 5);
  CHECK(differences_from(filter.table, owner("c2"), addresses).size() == 2);
}

TEST_CASE("a record has room for any names", "[forward-accept]") {
  Filter filter;
  const Owner longest = owner(std::string(4096, 'c'));
  filter.add(longest, {"10.1.2.2/24"});
  CHECK(filter.table.rules(kRecords).front().comment.size() == 255);
  remove_from(filter.table, longest);
  CHECK(filter.table.lines() == filter.before);
}
