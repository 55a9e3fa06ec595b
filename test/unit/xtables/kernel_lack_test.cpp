#include "xtables/kernel_lack.h"

#include <algorithm>
#include <catch2/catch.hpp>
#include <string>
#include <vector>

#include "xtables/dialect_rule.h"

using namespace cni::xtables;  // NOLINT(google-build-using-namespace)
using cni::inet::Address;
using cni::inet::Family;

namespace {

cni::nftables::Rule encode(const Rule& rule) {
  return encode_dialect(Family::kIpv4, "nat", "CHAIN", rule);
}

}  // namespace

TEST_CASE("a rule needs the extensions in its expressions", "[xtables]") {
  const Rule rule{.protocol = 6,
                  .destination_ports = PortRange{80, 80},
                  .matches = {Comment{"c"}, MarkMatch{1, 1}, ToLocalAddress{}},
                  .target = DestinationNat{*Address::parse("10.0.0.2"), 80}};
  CHECK(needed_extensions(encode(rule)) == std::vector<NeededExtension>{{"comment", 0, false},
                                                                        {"addrtype", 1, false},
                                                                        {"DNAT", 2, true}});
  CHECK(needed_extensions(encode({.target = Accept{}})).empty());
}

TEST_CASE("what the kernel lacks is called by its module", "[xtables]") {
  const std::vector<cni::nftables::Rule> rules = {
      encode({.matches = {Comment{"c"}, ToLocalAddress{}}, .target = SetMark{1, 1}}),
      encode({.matches = {Comment{"c"}}, .target = Masquerade{}}),
      encode({.target = DestinationNat{*Address::parse("10.0.0.2"), 80}}),
  };
  const auto lack_without = [&](const std::vector<std::string>& missing) {
    return find_lack(rules, [&](const NeededExtension& needed) {
      return std::ranges::find(missing, needed.name) == missing.end();
    });
  };
  CHECK_FALSE(lack_without({}).has_value());
  CHECK(lack_without({"comment"}) == "xt_comment");
  CHECK(lack_without({"MASQUERADE", "addrtype"}) == "xt_addrtype and xt_MASQUERADE");
  CHECK(lack_without({"DNAT", "MARK"}) == "xt_mark and xt_nat");
  CHECK(lack_without({"comment", "addrtype", "MARK", "MASQUERADE", "DNAT"}) ==
        "nft_compat, or xt_comment and xt_addrtype and xt_mark and xt_MASQUERADE and xt_nat");
  CHECK_FALSE(find_lack({encode({.target = Accept{}})}, [](const auto&) { return false; }));
}
