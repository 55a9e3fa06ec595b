#include "native_support.h"

#include <fmt/format.h>

#include <cerrno>

#include "base/error.h"
#include "native_layout.h"
#include "nftables/nftables_socket.h"

namespace cni::portmap {
namespace {

using inet::Family;
using inet::kFamilies;

// The whole frame under another name, with one of everything that is made along the way.
void put_everything(nftables::Batch& batch, Family family) {
  const nftables::TableId table{.family = nftables::table_family(family),
                                .name = "plumb_hostports_try"};
  netfilter::Layout layout = hostports_layout(family, family == Family::kIpv4);
  // Step by step: where an allocation fails within nested lists, GCC 12 destroys parts twice.
  nftables::Rule near{.table = table, .chain = "near", .expressions = {}};
  near.expressions.push_back(nftables::expr::masquerade(false));
  layout.chains.push_back({.chain = {.table = table, .name = "near"}, .rules = {}});
  layout.chains.back().rules.push_back(std::move(near));
  batch.ensure_table({.id = table});
  for (nftables::Set set : layout.sets) {
    set.table = table;
    batch.ensure_set(set);
  }
  for (netfilter::ChainContent& content : layout.chains) {
    content.chain.table = table;
    batch.ensure_chain(content.chain);
  }
  for (const netfilter::ChainContent& content : layout.chains) {
    for (nftables::Rule rule : content.rules) {
      rule.table = table;
      batch.append_rule(rule);
    }
  }
  // Is jumped to, so it cannot go: everything else was fine if this is what the kernel refuses.
  batch.delete_chain(table, "hostports");
}

}  // namespace

std::optional<std::string> find_lack_of_native_support() {
  nftables::Socket socket = nftables::Socket::here();
  for (const Family family : kFamilies) {
    nftables::Batch batch;
    put_everything(batch, family);
    const std::string attempt =
        fmt::format("make a table of nf_tables for the host ports of {}", inet::name(family));
    try {
      socket.try_commit(batch, attempt, {EBUSY});
    } catch (const SystemError& error) {
      return fmt::format(
          "{}: needs nf_tables with NAT (nft_chain_nat, nft_nat, nft_masq), nft_fib_{} and, since "
          "Linux 5.6, sets of intervals with several fields",
          error.what(), family == Family::kIpv4 ? "ipv4" : "ipv6");
    }
  }
  return std::nullopt;
}

}  // namespace cni::portmap
