#include "fuzz/rules.h"

#include "fuzz/oracle.h"
#include "nftables/batch.h"
#include "xtables/dialect_rule.h"
#include "xtables/legacy_rule.h"

namespace cni::fuzz {
namespace {

// What libiptc makes of the name of a target that is no extension.
std::optional<xtables::Target> verdict_of(const xtables::Target& target) {
  const bool verdict = std::holds_alternative<xtables::Accept>(target) ||
                       std::holds_alternative<xtables::Drop>(target) ||
                       std::holds_alternative<xtables::Return>(target) ||
                       std::holds_alternative<xtables::Jump>(target);
  return verdict ? std::optional(target) : std::nullopt;
}

}  // namespace

void require_storable(const xtables::Rule& rule, inet::Family family) {
  const std::string text = xtables::render(rule);
  xtables::require_valid(rule, family);
  const auto dialect =
      xtables::decode_dialect(family, xtables::encode_dialect(family, "nat", "CNI-1", rule));
  require(dialect.rule && xtables::same_meaning(*dialect.rule, rule),
          "the dialect reads back: " + text);
  const xtables::LegacyRule encoded = xtables::encode_legacy(family, rule);
  const auto legacy = xtables::decode_legacy(family, encoded.entry, verdict_of(rule.target));
  require(legacy.rule && xtables::same_meaning(*legacy.rule, rule),
          "a legacy table reads back: " + text);
}

void require_sendable(const netfilter::Layout& layout) {
  nftables::Batch batch;
  for (const nftables::Set& set : layout.sets) batch.ensure_set(set);
  for (const netfilter::ChainContent& content : layout.chains) {
    batch.ensure_chain(content.chain);
    for (const nftables::Rule& rule : content.rules) batch.append_rule(rule);
  }
}

void require_sendable(const nftables::Set& set, const std::vector<nftables::Element>& elements) {
  nftables::Batch batch;
  batch.ensure_set(set);
  batch.add_elements(set, elements);
}

}  // namespace cni::fuzz
