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

// The words of nft(8).
const char* name_of(nftables::Family family) {
  switch (family) {
    case nftables::Family::kInet:
      return "inet";
    case nftables::Family::kIp4:
      return "ip";
    case nftables::Family::kBridge:
      return "bridge";
    case nftables::Family::kIp6:
      return "ip6";
  }
  return "?";
}

std::string describe(const nftables::Chain& chain) {
  return fmt::format("chain \"{}\" of table \"{} {}\"", chain.name, name_of(chain.table.family),
                     chain.table.name);
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
  const nftables::Family table_family = nftables::table_family(family);
  if (store == StoreKind::kDialect) {
    return describe({.table = {.family = table_family, .name = kTable}, .name = kChain});
  }
  return fmt::format("chain \"{}\" of the legacy table \"{} {}\"", kChain, name_of(table_family),
                     kTable);
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
