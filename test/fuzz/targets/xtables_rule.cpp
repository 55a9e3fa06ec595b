// Rules of others in the stores of xtables: expressions of nf_tables, structs of extensions, and
// entries of legacy tables.

#include <linux/netfilter/nf_tables.h>

#include <stdexcept>

#include "fuzz/input.h"
#include "fuzz/oracle.h"
#include "fuzz/rules.h"
#include "fuzz/targets.h"
#include "netlink/reply.h"
#include "nftables/parse.h"
#include "xtables/dialect_rule.h"
#include "xtables/extension.h"
#include "xtables/legacy_rule.h"
#include "xtables/rule.h"

namespace cni::fuzz {
namespace {

bool is_valid(const xtables::Rule& rule, inet::Family family) {
  try {
    xtables::require_valid(rule, family);
    return true;
  } catch (const std::invalid_argument&) {
    return false;
  }
}

void check(const xtables::StoredRule& stored, inet::Family family) {
  if (!stored.rule) return;
  require(!xtables::render(*stored.rule).empty(), "a rule has a text");
  require(xtables::same_meaning(*stored.rule, *stored.rule), "a rule means what it means");
  if (is_valid(*stored.rule, family)) require_storable(*stored.rule, family);
}

// The attributes of NFT_MSG_NEWRULE.
void check_dialect(std::string_view attributes, inet::Family family) {
  const std::string message = std::string(4, '\0') + std::string(attributes);
  const auto payload = bytes(message);
  const nftables::Rule rule =
      nftables::parse_rule({.type = 0, .payload = {payload.begin(), payload.end()}});
  rule.comment();
  check(xtables::decode_dialect(family, rule), family);
}

void check_extension(Pieces pieces, inet::Family family) {
  const std::string name(pieces.text());
  const std::uint8_t revision = pieces.byte();
  xtables::Rule rule{.protocol = pieces.byte(), .target = xtables::Accept{}};
  const auto info = bytes(pieces.rest());
  if (const auto target = xtables::decode_target(family, name, revision, info)) {
    rule.target = *target;
    check({.rule = rule, .jump_target = "", .comment = ""}, family);
  } else if (xtables::decode_match(name, revision, info, rule)) {
    check({.rule = rule, .jump_target = "", .comment = ""}, family);
  }
}

}  // namespace

void xtables_rule(std::string_view input) {
  Pieces pieces(input);
  const std::uint8_t kind = pieces.byte();
  const inet::Family family = kind % 2 == 0 ? inet::Family::kIpv4 : inet::Family::kIpv6;
  switch (kind / 2 % 3) {
    case 0:
      check_dialect(pieces.rest(), family);
      break;
    case 1:
      check_extension(pieces, family);
      break;
    default: {
      // As the kernel gives them out, aligned.
      const auto entry = bytes(pieces.rest());
      const std::vector<std::byte> aligned(entry.begin(), entry.end());
      check(xtables::decode_legacy(family, aligned, std::nullopt), family);
      check(xtables::decode_legacy(family, aligned, xtables::Accept{}), family);
    }
  }
}

}  // namespace cni::fuzz
