#include <catch2/catch.hpp>

#include "portmap/condition_rules.h"

using namespace cni;           // NOLINT(google-build-using-namespace)
using namespace cni::portmap;  // NOLINT(google-build-using-namespace)
using Catch::Contains;
using inet::Family;
using inet::Network;
using Field = Condition::Field;
using Words = std::vector<std::string>;

namespace {

std::vector<Condition> parse(const Words& words, Family family = Family::kIpv4) {
  return parse_conditions(words, family);
}

Condition address(Field field, bool inverted, const std::vector<std::string>& texts) {
  Condition condition{.field = field, .inverted = inverted};
  for (const std::string& text : texts) condition.networks.push_back(*Network::parse(text));
  return condition;
}

// What a rule of xtables says with the conditions.
std::vector<std::string> rendered(const Words& words) {
  std::vector<std::string> lines;
  const xtables::Rule rule{.protocol = 6, .target = xtables::Jump{"X"}};
  for (const xtables::Rule& one : with_conditions(rule, parse(words))) {
    lines.push_back(xtables::render(one));
  }
  return lines;
}

}  // namespace

TEST_CASE("conditions in the words of iptables", "[portmap]") {
  CHECK(parse({}).empty());
  CHECK(parse({""}).empty());
  CHECK(parse({"-s", "10.1.2.3/8"}) == std::vector{address(Field::kSource, false, {"10.0.0.0/8"})});
  CHECK(parse({"!", "-s", "10.0.0.0/8", "--destination", "192.0.2.1"}) ==
        std::vector{address(Field::kSource, true, {"10.0.0.0/8"}),
                    address(Field::kDestination, false, {"192.0.2.1/32"})});
  CHECK(parse({"-d", "!", "192.0.2.1"}) ==
        std::vector{address(Field::kDestination, true, {"192.0.2.1/32"})});
  CHECK(parse({"--src", "10.0.0.0/8,192.0.2.1"}) ==
        std::vector{address(Field::kSource, false, {"10.0.0.0/8", "192.0.2.1/32"})});
  CHECK(parse({"-s", "fd00::/8"}, Family::kIpv6) ==
        std::vector{address(Field::kSource, false, {"fd00::/8"})});
  CHECK(
      parse({"!", "-i", "eth0", "-o", "cni+"}) ==
      std::vector<Condition>{{.field = Field::kInInterface, .inverted = true, .interface = "eth0"},
                             {.field = Field::kOutInterface, .interface = "cni+"}});
  CHECK(parse({"-m", "tcp", "--sport", "1000:2000", "--dport", "80"}) ==
        std::vector<Condition>{
            {.field = Field::kSourcePort, .first_port = 1000, .last_port = 2000},
            {.field = Field::kDestinationPort, .first_port = 80, .last_port = 80}});
  CHECK(parse({"-m", "comment", "--comment", "why"}) ==
        std::vector<Condition>{{.field = Field::kComment, .comment = "why"}});
  CHECK(parse({"-m", "mark", "!", "--mark", "0x10/0xf0"}) ==
        std::vector<Condition>{
            {.field = Field::kMark, .inverted = true, .mark = 0x10, .mask = 0xf0}});
}

TEST_CASE("conditions in the words of nft", "[portmap]") {
  CHECK(parse({"ip", "saddr", "10.0.0.0/8"}) ==
        std::vector{address(Field::kSource, false, {"10.0.0.0/8"})});
  CHECK(parse({"ip", "daddr", "!=", "{ 127.0.0.0/8, 198.19.254.254 }"}) ==
        std::vector{address(Field::kDestination, true, {"127.0.0.0/8", "198.19.254.254/32"})});
  CHECK(parse({"ip", "daddr", "==", "{", "192.0.2.1,", "192.0.2.2", "}"}) ==
        std::vector{address(Field::kDestination, false, {"192.0.2.1/32", "192.0.2.2/32"})});
  CHECK(parse({"ip6", "saddr", "!=", "fd00::/8", "iifname", "\"eth*\""}, Family::kIpv6) ==
        std::vector<Condition>{address(Field::kSource, true, {"fd00::/8"}),
                               {.field = Field::kInInterface, .interface = "eth+"}});
  CHECK(
      parse({"oifname", "!=", "eth0", "meta", "mark", "0x2000"}) ==
      std::vector<Condition>{{.field = Field::kOutInterface, .inverted = true, .interface = "eth0"},
                             {.field = Field::kMark, .mark = 0x2000}});
}

TEST_CASE("a condition that is not known is refused", "[portmap]") {
  const auto refused = [](const Words& words, Family family = Family::kIpv4) {
    try {
      parse(words, family);
      return std::string("accepted");
    } catch (const std::invalid_argument& error) {
      return std::string(error.what());
    }
  };
  CHECK_THAT(refused({"-m", "owner", "--uid-owner", "0"}), Contains("-m owner"));
  CHECK_THAT(refused({"-j", "ACCEPT"}), Contains("-j"));
  CHECK_THAT(refused({"-s"}), Contains("end"));
  CHECK_THAT(refused({"!"}), Contains("end"));
  CHECK_THAT(refused({"-s", "example.org"}), Contains("example.org"));
  CHECK_THAT(refused({"-s", "fd00::/8"}), Contains("IPv4"));
  CHECK_THAT(refused({"-s", "10.0.0.0/8"}, Family::kIpv6), Contains("IPv6"));
  CHECK_THAT(refused({"!", "-s", "10.0.0.0/8,192.0.2.1"}), Contains("several"));
  CHECK_THAT(refused({"-i", "a/b"}), Contains("a/b"));
  CHECK_THAT(refused({"-i", "a-name-that-is-long"}), Contains("interface"));
  CHECK_THAT(refused({"--sport", "70000"}), Contains("70000"));
  CHECK_THAT(refused({"--sport", "20:10"}), Contains("order"));
  CHECK_THAT(refused({"ip6", "saddr", "10.0.0.0/8"}), Contains("ip6"));
  CHECK_THAT(refused({"ip", "protocol", "tcp"}), Contains("protocol"));
  CHECK_THAT(refused({"tcp", "dport", "80"}), Contains("tcp"));
  CHECK_THAT(refused({"ip", "saddr", "{ 10.0.0.0/8"}), Contains("end"));
  CHECK_THAT(refused({"ip", "saddr", "{ }"}), Contains("no IPv4"));
  CHECK_THAT(refused({"iifname", "eth+"}), Contains("eth+"));
  CHECK_THAT(refused({"meta", "skuid", "0"}), Contains("skuid"));
}

TEST_CASE("conditions become rules of xtables", "[portmap]") {
  using Lines = std::vector<std::string>;
  CHECK(rendered({"!", "-s", "10.0.0.0/8", "-i", "eth0"}) ==
        Lines{"! -s 10.0.0.0/8 -i eth0 -p tcp -j X"});
  CHECK(rendered({"-s", "10.0.0.0/8,192.0.2.1"}) ==
        Lines{"-s 10.0.0.0/8 -p tcp -j X", "-s 192.0.2.1/32 -p tcp -j X"});
  CHECK(rendered({"ip", "daddr", "{ 192.0.2.1, 192.0.2.2 }"}).size() == 2);
  CHECK_THROWS_WITH(rendered({"ip", "daddr", "!=", "{ 192.0.2.1, 192.0.2.2 }"}),
                    Contains("none of these"));
  CHECK_THROWS_WITH(rendered({"-s", "10.0.0.0/8", "-s", "10.1.0.0/16"}), Contains("two"));
}

TEST_CASE("what misses the conditions is said in rules of nf_tables", "[portmap]") {
  CHECK(missed(parse({"-s", "10.0.0.0/8"})).size() == 1);
  // Neither of the two: one rule that looks at both.
  CHECK(missed(parse({"-s", "10.0.0.0/8,192.0.2.0/24"})).size() == 1);
  // One of the two: a rule for each.
  CHECK(missed(parse({"ip", "saddr", "!=", "{ 10.0.0.0/8, 192.0.2.0/24 }"})).size() == 2);
  CHECK(missed(parse({"-i", "+"})).empty());
  CHECK(missed(parse({"-m", "comment", "--comment", "x"})).empty());
  CHECK(missed(parse({"-s", "10.0.0.0/8", "!", "-i", "eth0"})).size() == 2);
}
