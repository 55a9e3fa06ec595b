#include "xtables/kernel_lack.h"

#include <endian.h>
#include <fmt/format.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nf_tables_compat.h>

#include <algorithm>

namespace cni::xtables {
namespace {

// Matches and targets have their attributes in common.
static_assert(static_cast<int>(NFTA_MATCH_NAME) == static_cast<int>(NFTA_TARGET_NAME));
static_assert(static_cast<int>(NFTA_MATCH_REV) == static_cast<int>(NFTA_TARGET_REV));

std::string module_of(const std::string& extension) {
  if (extension == "DNAT" || extension == "SNAT") return "xt_nat";
  if (extension == "MARK") return "xt_mark";
  return "xt_" + extension;
}

}  // namespace

std::vector<NeededExtension> needed_extensions(const nftables::Rule& rule) {
  std::vector<NeededExtension> needed;
  for (const nftables::Expression& expression : rule.expressions) {
    const bool is_target = expression.name == "target";
    if (!is_target && expression.name != "match") continue;
    const netlink::Attributes attributes = expression.parse();
    needed.push_back({.name = attributes.text(NFTA_MATCH_NAME),
                      .revision = be32toh(attributes.find_u32(NFTA_MATCH_REV).value_or(0)),
                      .is_target = is_target});
  }
  return needed;
}

std::optional<std::string> find_lack(const std::vector<nftables::Rule>& rules,
                                     const std::function<bool(const NeededExtension&)>& has) {
  bool has_any = false;
  std::vector<std::string> lacking;
  for (const nftables::Rule& rule : rules) {
    for (const NeededExtension& needed : needed_extensions(rule)) {
      const std::string module = module_of(needed.name);
      if (has(needed)) {
        has_any = true;
      } else if (std::ranges::find(lacking, module) == lacking.end()) {
        lacking.push_back(module);
      }
    }
  }
  if (lacking.empty()) return std::nullopt;
  return fmt::format("{}{}", has_any ? "" : "nft_compat, or ", fmt::join(lacking, " and "));
}

}  // namespace cni::xtables
