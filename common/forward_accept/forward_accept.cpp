#include "forward_accept/forward_accept.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <functional>
#include <iterator>
#include <memory>
#include <utility>

#include "base/best_effort.h"
#include "base/error.h"
#include "base/log.h"
#include "forward_accept/accept_rules.h"
#include "netfilter/choose_store.h"
#include "netfilter/forward_policy.h"
#include "nftables/nftables_socket.h"

namespace cni::forward_accept {
namespace {

using inet::Family;
using inet::kFamilies;
using inet::Network;
using inet::of_family;
using netfilter::Owner;
using xtables::StoreKind;

constexpr std::array<StoreKind, 2> kStores = {StoreKind::kDialect, StoreKind::kLegacy};
constexpr const char* kTable = "filter";

Owner owner_of(const Request& request) {
  return {.network = request.conf.name(),
          .container_id = request.environment.container_id,
          .ifname = request.environment.ifname};
}

std::unique_ptr<xtables::Store> open(StoreKind kind) {
  return kind == StoreKind::kDialect ? xtables::open_dialect() : xtables::open_legacy();
}

// Whether there is anything of ours, at the least price.
bool has_records(xtables::Store& store, Family family) {
  if (store.kind() == StoreKind::kDialect) {
    const nftables::TableId table = {.family = nftables::table_family(family), .name = kTable};
    auto socket = nftables::Socket::find();
    return socket && socket->find_chain(table, kRecords);
  }
  const auto table = store.find(family, kTable);
  return table && table->has_chain(kRecords);
}

// Calls `change` for each table filter that has rules of ours.
void change_tables(const std::function<void(xtables::Table&)>& change) {
  BestEffort cleanup;
  for (const auto& store : netfilter::existing_xtables_stores()) {
    for (const Family family : kFamilies) {
      cleanup.run(fmt::format("remove what accepts forwarded {}", name(family)), [&] {
        if (has_records(*store, family)) store->change(family, kTable, change);
      });
    }
  }
  cleanup.finish();
}

// A policy that cannot be read is no reason to fail where it is only reported.
void report(const std::function<std::vector<std::string>()>& find_chains, const char* advice) {
  try {
    const std::vector<std::string> chains = find_chains();
    if (chains.empty()) return;
    log::warning("the policy of {} drops what this host forwards, unless a rule accepts it: {}",
                 fmt::join(chains, ", and of "), advice);
  } catch (const SystemError& error) {
    log::info("whether this host drops what it forwards is not known: {}", error.what());
  }
}

constexpr const char* kKeyHelps = "key \"forwardAccept\": true adds rules for the container";
constexpr const char* kKeyIsOff =
    "key \"forwardAccept\": true adds rules for containers where the chain is one of iptables";
constexpr const char* kOutOfReach = "key \"forwardAccept\" adds none there";

}  // namespace

void add(const Request& request, const std::vector<Network>& addresses, Undo& undo) {
  const Owner owner = owner_of(request);
  for (const Family family : kFamilies) {
    const std::vector<Network> chosen = of_family(addresses, family);
    if (chosen.empty()) continue;
    for (const StoreKind kind : kStores) {
      if (!netfilter::drops_forwarded(kind, family)) continue;
      // Before the commit, whose answer may be lost.
      const auto made = std::make_shared<bool>(false);
      undo.add("remove what accepts forwarded packets", [kind, family, owner, made] {
        if (!*made) return;
        open(kind)->change(family, kTable,
                           [&](xtables::Table& table) { remove_from(table, owner); });
      });
      open(kind)->change(family, kTable, [&](xtables::Table& table) {
        *made = !differences_from(table, owner, chosen).empty();
        add_to(table, owner, chosen);
      });
    }
  }
}

void check(const Request& request, const std::vector<Network>& addresses,
           attachment::Differences& differences) {
  const Owner owner = owner_of(request);
  for (const Family family : kFamilies) {
    const std::vector<Network> chosen = of_family(addresses, family);
    if (chosen.empty()) continue;
    for (const StoreKind kind : kStores) {
      if (!netfilter::drops_forwarded(kind, family)) continue;
      const auto table = open(kind)->find(family, kTable);
      if (!table) continue;
      for (std::string& each : differences_from(*table, owner, chosen)) {
        differences.add(std::move(each));
      }
    }
  }
}

void remove(const Request& request) {
  change_tables([owner = owner_of(request)](xtables::Table& table) { remove_from(table, owner); });
}

void collect(const std::string& network, const std::vector<Attachment>& valid) {
  std::vector<Owner> owners;
  for (const Attachment& each : valid) {
    owners.push_back(
        {.network = network, .container_id = each.container_id, .ifname = each.ifname});
  }
  change_tables([&](xtables::Table& table) { collect_from(table, network, owners); });
}

void warn_of_policy(const std::vector<Network>& addresses) {
  report(
      [&] {
        std::vector<std::string> chains;
        for (const Family family : kFamilies) {
          if (of_family(addresses, family).empty()) continue;
          if (!netfilter::dialect_drops_forwarded(family)) continue;
          chains.push_back(netfilter::describe_forward_chain(StoreKind::kDialect, family));
        }
        return chains;
      },
      kKeyHelps);
}

void warn_of_policies(bool is_on) {
  report(
      [&] {
        std::vector<std::string> chains = netfilter::find_dropping_native_chains();
        if (is_on) return chains;
        for (const StoreKind kind : kStores) {
          for (const Family family : kFamilies) {
            if (!netfilter::drops_forwarded(kind, family)) continue;
            chains.push_back(netfilter::describe_forward_chain(kind, family));
          }
        }
        return chains;
      },
      is_on ? kOutOfReach : kKeyIsOff);
}

}  // namespace cni::forward_accept
