// What portmap has written down about an attachment: the content of a record.

#include "fuzz/input.h"
#include "fuzz/oracle.h"
#include "fuzz/rules.h"
#include "fuzz/targets.h"
#include "json/parse.h"
#include "portmap/chain_names.h"
#include "portmap/claims.h"
#include "portmap/holding.h"
#include "portmap/native_elements.h"
#include "portmap/native_shared_chains.h"

namespace cni::fuzz {
namespace {

void check_claims(const portmap::Holding& holding) {
  portmap::Holding other = holding;
  other.owner.container_id += "x";
  for (const auto policy : {portmap::ConflictPolicy::kError, portmap::ConflictPolicy::kReplace,
                            portmap::ConflictPolicy::kShare}) {
    const auto claim = [&] {
      const auto after =
          portmap::with({holding}, other, policy, [](const portmap::Holding&) { return true; });
      portmap::changes({holding}, after);
      const auto left = portmap::without(
          after, [](const portmap::Holding& one) { return one.owner.container_id.ends_with("x"); });
      require(left.size() <= 1, "who is gone is gone");
    };
    accepts(claim, {Code::kTryAgainLater});
  }
}

}  // namespace

void portmap_books(std::string_view input) {
  Pieces pieces(input);
  const std::string content(pieces.text());
  if (const auto owner = portmap::parse_entry_comment(pieces.rest())) {
    const std::string comment = portmap::entry_comment(owner->network, owner->container_id);
    require(comment.size() <= 255, "a comment fits");
  }
  netfilter::Record record{.owner = {.network = "n", .container_id = "c", .ifname = "eth0"},
                           .content = {}};
  if (!accepts([&] { record.content = json::parse(content); }, {Code::kDecodingFailure})) return;
  const auto holding = portmap::parse_holding(record);
  if (!holding) return;
  const auto again = portmap::parse_holding(
      {.owner = record.owner, .content = json::parse(json::compact(portmap::render(*holding)))});
  require(again && portmap::render(*again) == portmap::render(*holding), "a record reads back");
  require(!portmap::describe(*holding).empty(), "a holding has a description");
  check_claims(*holding);
  const auto use = [&] {
    for (const portmap::SharedChain& chain : portmap::shared_chains(*holding)) {
      require_sendable({.sets = {}, .chains = {chain.content}});
    }
    for (const auto& [set, elements] : portmap::elements_of(*holding)) {
      require_sendable(set, elements);
    }
  };
  accepts(use, {Code::kInvalidConfig});
}

}  // namespace cni::fuzz
