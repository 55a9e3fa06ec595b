#include "masquerade/xtables_rules.h"

#include <algorithm>
#include <catch2/catch.hpp>
#include <string>

#include "unit/xtables/memory_table.h"

using namespace cni::masquerade;  // NOLINT(google-build-using-namespace)
using cni::inet::Family;
using cni::inet::Network;
using cni::netfilter::Owner;
using cni::test::MemoryTable;
using cni::xtables::Rule;

namespace {

using Texts = std::vector<std::string>;

Network network(const std::string& text) {
  return *Network::parse(text);
}

std::vector<Network> networks(const Texts& texts) {
  std::vector<Network> all;
  for (const std::string& text : texts) all.push_back(network(text));
  return all;
}

Owner owner(const std::string& container = "cont1", const std::string& ifname = "eth0") {
  return {.network = "net1", .container_id = container, .ifname = ifname};
}

// The chain of "cont1" and the rules of it, without the comment that all have.
const std::string kChain = "CNI-01d424cb2a9303e21c6e971c";
const std::string kComment = R"( -m comment --comment "name: \"net1\" id: \"cont1\"")";

Texts without_comment(Texts lines) {
  for (std::string& line : lines) {
    const std::string_view comment = std::string_view(kComment).substr(line.starts_with("-m"));
    const std::size_t at = line.find(comment);
    if (at != std::string::npos) line.erase(at, comment.size());
  }
  return lines;
}

Texts rendered(const std::vector<Rule>& rules) {
  Texts lines;
  for (const Rule& rule : rules) lines.push_back(render(rule));
  return without_comment(lines);
}

}  // namespace

TEST_CASE("the chain is named as the reference suite names it", "[masquerade]") {
  CHECK(chain_name("net1", "cont1") == kChain);
  CHECK(chain_name("n", "p1") == "CNI-819ce049994397c33efc5162");
  CHECK(chain_name("m2", "two") == "CNI-15e2980d5695fb357ee545ca");
  CHECK(chain_name("cbr0", "4f3c0d1e") == "CNI-32ed14eb33f886795a23eb04");
  const std::string id = "0123456789abcdef";
  CHECK(chain_name("mynet", id + id + id + id) == "CNI-43175586731374e23ef8700d");
  CHECK(is_chain_name(kChain));
  CHECK_FALSE(is_chain_name("CNI-HOSTPORT-DNAT"));
  CHECK_FALSE(is_chain_name("CNI-DN-0123456789abcdef01234"));
}

TEST_CASE("a comment is cut where the kernel would refuse it", "[masquerade]") {
  CHECK(comment("net1", "cont1") == R"(name: "net1" id: "cont1")");
  const std::string id(300, 'x');
  CHECK(comment("net1", id).size() == 255);
  CHECK(comment("net1", id).starts_with(comment_prefix("net1")));
  const Rule mark = interface_mark(owner(id, "net1"), network("10.1.2.2/24").address);
  CHECK(mark.comment().size() == 255);
  CHECK(mark.comment().ends_with(R"( if: "net1")"));
}

TEST_CASE("the rules are those of the reference suite", "[masquerade]") {
  MemoryTable table;
  add_to(table, owner(), networks({"10.1.2.2/24"}), {});
  const Texts expected = {
      ":" + kChain, "-A " + kChain + " -d 10.1.2.0/24" + kComment + " -j ACCEPT",
      "-A " + kChain + " ! -d 224.0.0.0/4" + kComment + " -j MASQUERADE", ":POSTROUTING",
      "-A POSTROUTING -s 10.1.2.2/32" + kComment + " -j " + kChain};
  CHECK(table.lines() == expected);
  SECTION("also after a second ADD") {
    add_to(table, owner(), networks({"10.1.2.2/24"}), {});
    CHECK(table.lines() == expected);
  }
  SECTION("and all go") {
    remove_from(table, owner(), {});
    CHECK(table.lines() == Texts{":POSTROUTING"});
    remove_from(table, owner(), networks({"10.1.2.2/24"}));
    CHECK(table.lines() == Texts{":POSTROUTING"});
  }
}

TEST_CASE("IPv6 has its own multicast", "[masquerade]") {
  CHECK(rendered(translation_rules(owner(), Family::kIpv6, {})) ==
        Texts{"! -d ff00::/8 -j MASQUERADE"});
}

TEST_CASE("exceptions come before what translates", "[masquerade]") {
  MemoryTable table;
  add_to(table, owner(), networks({"10.1.2.2/24", "10.1.3.2/24"}), {});
  const auto lines = without_comment(table.lines());
  CHECK(Texts(lines.begin() + 1, lines.begin() + 4) ==
        Texts{"-A " + kChain + " -d 10.1.2.0/24 -j ACCEPT",
              "-A " + kChain + " -d 10.1.3.0/24 -j ACCEPT",
              "-A " + kChain + " ! -d 224.0.0.0/4 -j MASQUERADE"});
}

TEST_CASE("each key has its rules", "[masquerade]") {
  const auto source = [](const std::string& first, const std::string& last) {
    return SourceRange{.first = *cni::inet::Address::parse(first),
                       .last = *cni::inet::Address::parse(last),
                       .place = ""};
  };
  const auto translation = [](const Config& config) {
    return rendered(translation_rules(owner(), Family::kIpv4, config));
  };
  CHECK(rendered(accept_rules(owner(), networks({"10.1.2.2/24"}),
                              {.skipped = networks({"10.0.0.0/8", "fd00::/8", "10.0.0.0/8"})})) ==
        Texts{"-d 10.1.2.0/24 -j ACCEPT", "-d 10.0.0.0/8 -j ACCEPT"});
  CHECK(translation({.out_interfaces = {"eth0", "wan+"}}) ==
        Texts{"! -d 224.0.0.0/4 -o eth0 -j MASQUERADE", "! -d 224.0.0.0/4 -o wan+ -j MASQUERADE"});
  CHECK(translation({.only = networks({"192.0.2.0/24", "fd00::/8", "0.0.0.0/0"})}) ==
        Texts{"-d 224.0.0.0/4 -j RETURN", "-d 192.0.2.0/24 -j MASQUERADE", " -j MASQUERADE"});
  CHECK(translation({.only = networks({"192.0.2.0/24"}), .out_interfaces = {"eth0"}}) ==
        Texts{"-d 224.0.0.0/4 -j RETURN", "-d 192.0.2.0/24 -o eth0 -j MASQUERADE"});
  CHECK(translation({.fully_random = true}) ==
        Texts{"! -d 224.0.0.0/4 -j MASQUERADE --random-fully"});
  CHECK(translation({.snat_ipv4 = source("192.0.2.1", "192.0.2.1")}) ==
        Texts{"! -d 224.0.0.0/4 -j SNAT --to-source 192.0.2.1"});
  CHECK(translation({.snat_ipv4 = source("192.0.2.1", "192.0.2.9"),
                     .persistent = true,
                     .fully_random = true}) ==
        Texts{"! -d 224.0.0.0/4 -j SNAT --to-source 192.0.2.1-192.0.2.9 --random-fully "
              "--persistent"});
}

TEST_CASE("two interfaces of a container in one network share a chain and part", "[masquerade]") {
  MemoryTable table;
  add_to(table, owner(), networks({"10.1.2.2/24"}), {});
  const Texts first_alone = table.lines();
  add_to(table, owner("cont1", "net1"), networks({"10.1.3.2/24"}), {});
  const Texts both = table.lines();
  CHECK(std::ranges::count_if(
            both, [](const std::string& line) { return line.starts_with("-A POSTROUTING"); }) == 2);
  SECTION("the second goes first") {
    remove_from(table, owner("cont1", "net1"), {});
    CHECK(table.lines() == first_alone);
    remove_from(table, owner(), {});
  }
  SECTION("the first goes first") {
    for (int round = 0; round < 2; ++round) {
      remove_from(table, owner(), {});
      const Texts lines = without_comment(table.lines());
      CHECK(Texts(lines.begin() + 1, lines.begin() + 3) ==
            Texts{"-A " + kChain + " -d 10.1.3.0/24 -j ACCEPT",
                  "-A " + kChain + " ! -d 224.0.0.0/4 -j MASQUERADE"});
      CHECK(lines.back() == "-A POSTROUTING -s 10.1.3.2/32 -j " + kChain);
    }
    remove_from(table, owner("cont1", "net1"), {});
  }
  SECTION("the second gets another address") {
    add_to(table, owner("cont1", "net1"), networks({"10.1.4.2/24"}), {});
    const Texts lines = without_comment(table.lines());
    CHECK(std::ranges::none_of(
        lines, [](const std::string& line) { return line.find("10.1.3.") != std::string::npos; }));
    CHECK(lines.size() == both.size());
    remove_from(table, owner("cont1", "net1"), {});
    CHECK(table.lines() == first_alone);
    remove_from(table, owner(), {});
  }
  SECTION("one is collected") {
    collect_from(table, "net1", {owner()});
    CHECK(table.lines() == first_alone);
    remove_from(table, owner(), {});
  }
  CHECK(table.lines() == Texts{":POSTROUTING"});
}

TEST_CASE("the reference suite's two interfaces are told apart by their addresses",
          "[masquerade]") {
  MemoryTable table;
  add_to(table, owner(), networks({"10.1.2.2/24", "10.1.2.3/24"}), {});  // nothing is marked
  remove_from(table, owner(), networks({"10.1.2.2/24"}));
  CHECK(without_comment(table.lines()).back() == "-A POSTROUTING -s 10.1.2.3/32 -j " + kChain);
  remove_from(table, owner(), networks({"10.1.2.2/24"}));
  CHECK(table.lines().size() == 5);
  remove_from(table, owner("cont1", "net1"), networks({"10.1.2.3/24"}));
  CHECK(table.lines() == Texts{":POSTROUTING"});
}

TEST_CASE("rules of old releases go as well", "[masquerade]") {
  MemoryTable table;
  add_to(table, owner(), networks({"10.1.2.2/24"}), {});
  Rule old = jump_rule(owner(), network("10.1.2.2/24").address);
  old.source->network = network("10.1.2.0/24");
  table.append("POSTROUTING", old);
  SECTION("known by no address") {
    remove_from(table, owner(), {});
  }
  SECTION("known by its address") {
    remove_from(table, owner(), networks({"10.1.2.2/24"}));
  }
  CHECK(table.lines() == Texts{":POSTROUTING"});
}

TEST_CASE("an address that went to another container is that one's", "[masquerade]") {
  MemoryTable table;
  add_to(table, owner("cont2"), networks({"10.1.2.2/24", "10.1.2.3/24"}), {});
  add_to(table, owner("cont3"), networks({"10.1.2.4/24"}), {});
  add_to(table, owner(), networks({"10.1.2.2/24", "10.1.2.4/24"}), {});
  const Texts lines = without_comment(table.lines());
  CHECK(std::ranges::count(lines, "-A POSTROUTING -s 10.1.2.2/32 -j " + kChain) == 1);
  CHECK_FALSE(table.has_chain(chain_name("net1", "cont3")));
  CHECK(table.has_chain(chain_name("net1", "cont2")));
  CHECK(table.rules("POSTROUTING").size() == 3);
  remove_from(table, owner("cont2"), networks({"10.1.2.2/24", "10.1.2.3/24"}));
  CHECK(table.rules("POSTROUTING").size() == 2);
}

TEST_CASE("rules of others stay", "[masquerade]") {
  MemoryTable table;
  const Rule foreign{.target = cni::xtables::Jump{"KUBE-POSTROUTING"}};
  table.append("POSTROUTING", foreign);
  table.chains_["POSTROUTING"].push_back({.rule = {}, .jump_target = "", .comment = ""});
  table.ensure_chain("KUBE-POSTROUTING");
  table.ensure_chain("CNI-HOSTPORT-MASQ");
  const Texts before = table.lines();
  add_to(table, owner(), networks({"10.1.2.2/24"}), {});
  CHECK(table.lines().size() == before.size() + 4);
  SECTION("DEL") {
    remove_from(table, owner(), {});
  }
  SECTION("GC") {
    collect_from(table, "net2", {});
    CHECK(table.lines().size() == before.size() + 4);
    collect_from(table, "net1", {owner()});
    CHECK(table.lines().size() == before.size() + 4);
    collect_from(table, "net1", {owner("cont11")});
  }
  CHECK(table.lines() == before);
}

TEST_CASE("GC finds a chain that nobody jumps to", "[masquerade]") {
  MemoryTable table;
  add_to(table, owner(), networks({"10.1.2.2/24"}), {});
  table.flush("POSTROUTING");
  collect_from(table, "net1", {owner()});
  CHECK(table.has_chain(kChain));
  collect_from(table, "net1", {});
  CHECK_FALSE(table.has_chain(kChain));
}

TEST_CASE("differences name the rule", "[masquerade]") {
  MemoryTable table;
  const auto addresses = networks({"10.1.2.2/24"});
  add_to(table, owner(), addresses, {});
  CHECK(differences_from(table, owner(), addresses, {}).empty());
  table.erase(kChain, 0);
  CHECK(differences_from(table, owner(), addresses, {}) ==
        Texts{"IPv4 rule of table nat is missing: -A " + kChain + " -d 10.1.2.0/24" + kComment +
              " -j ACCEPT"});
  table.flush("POSTROUTING");
  CHECK(differences_from(table, owner(), addresses, {}).size() == 2);
  CHECK(concerns(table, kChain));
  CHECK_FALSE(concerns(table, "CNI-819ce049994397c33efc5162"));
}
