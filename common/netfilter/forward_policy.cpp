#include "netfilter/forward_policy.h"

#include <fmt/format.h>
#include <linux/netfilter.h>

#include <algorithm>

#include "nftables/nftables_socket.h"

namespace cni::netfilter {
namespace {

using inet::Family;
using xtables::StoreKind;

constexpr const char* kTable = "filter";
constexpr const char* kChain = "FORWARD";

std::string describe(const nftables::Chain& chain) {
  return fmt::format("chain \"{}\" of table \"{}\"", chain.name, chain.table.text());
}

bool drops(const nftables::Chain& chain) {
  return chain.hook && chain.hook->number == NF_INET_FORWARD && chain.hook->policy_drop;
}

bool legacy_drops_forwarded(Family family) {
  const auto tables = xtables::find_legacy_tables(family);
  if (!tables || std::ranges::find(*tables, kTable) == tables->end()) return false;
  const auto table = xtables::open_legacy()->find(family, kTable);
  return table && table->drops_by_policy(kChain);
}

}  // namespace

bool dialect_drops_forwarded(Family family) {
  auto socket = nftables::Socket::find();
  if (!socket) return false;
  const auto chain =
      socket->find_chain({.family = nftables::table_family(family), .name = kTable}, kChain);
  return chain && drops(*chain);
}

bool drops_forwarded(StoreKind store, Family family) {
  return store == StoreKind::kDialect ? dialect_drops_forwarded(family)
                                      : legacy_drops_forwarded(family);
}

std::string describe_forward_chain(StoreKind store, Family family) {
  const nftables::TableId table{.family = nftables::table_family(family), .name = kTable};
  if (store == StoreKind::kDialect) return describe({.table = table, .name = kChain});
  return fmt::format("chain \"{}\" of the legacy table \"{}\"", kChain, table.text());
}

std::vector<std::string> find_dropping_native_chains() {
  std::vector<std::string> found;
  auto socket = nftables::Socket::find();
  if (!socket) return found;
  for (const nftables::Family family :
       {nftables::Family::kIp4, nftables::Family::kIp6, nftables::Family::kInet}) {
    for (const nftables::Chain& chain : socket->list_chains(family)) {
      const bool is_dialect =
          family != nftables::Family::kInet && chain.table.name == kTable && chain.name == kChain;
      if (drops(chain) && !is_dialect) found.push_back(describe(chain));
    }
  }
  return found;
}

}  // namespace cni::netfilter
