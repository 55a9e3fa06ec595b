#include "masquerade/masquerade.h"

#include <fmt/format.h>

#include <algorithm>
#include <memory>
#include <set>

#include "base/best_effort.h"
#include "masquerade/native_store.h"
#include "masquerade/reference_table.h"
#include "masquerade/xtables_rules.h"
#include "netfilter/choose_store.h"
#include "netlink/address.h"
#include "protocol/error.h"

namespace cni::masquerade {
namespace {

using inet::Family;
using inet::kFamilies;
using inet::Network;
using inet::of_family;
using netfilter::Owner;
using netfilter::StoreChoice;

constexpr const char* kTable = "nat";

Owner owner_of(const Request& request) {
  return {.network = request.conf.name(),
          .container_id = request.environment.container_id,
          .ifname = request.environment.ifname};
}

// Those that the configuration masquerades.
std::vector<Network> wanted_addresses(const Request& request, const Result& result,
                                      const Config& config) {
  std::vector<Network> addresses = container_addresses(request, result);
  std::erase_if(addresses, [&](const Network& each) { return !config.is_on(each.family()); });
  return addresses;
}

// What is wrong about source addresses that the host is to send with.
std::optional<std::string> find_absent_source(const Config& config) {
  for (const Family family : kFamilies) {
    const auto& range = config.snat(family);
    if (!range || !config.is_on(family)) continue;
    netlink::Socket host = netlink::Socket::here();
    std::set<inet::Address> present;
    for (const auto& each : netlink::addresses(host, {.family = family})) {
      const inet::Address& address = each.network.address;
      if (range->first <= address && address <= range->last) present.insert(address);
    }
    inet::Address next = range->first;
    for (const inet::Address& address : present) {
      if (address != next) break;
      next = address.next();
    }
    // Past the end of the range, or, at the end of all addresses, around it.
    const bool complete =
        !present.empty() && present.size() - 1 == range->last.bits() - range->first.bits();
    if (!complete) {
      return fmt::format("{}: the host does not have the address {}", range->place, next.text());
    }
  }
  return std::nullopt;
}

std::optional<std::string> find_unserved_key(const Config& config, StoreChoice store) {
  if (store != StoreChoice::kNative && config.drop_invalid.value_or(false)) {
    return "key \"dropInvalid\" is true, which needs the backend nftables; the rules of this host "
           "are kept as iptables rules";
  }
  return std::nullopt;
}

void add_to_xtables(StoreChoice choice, const Owner& owner, const std::vector<Network>& addresses,
                    const Config& config, Undo& undo) {
  const auto store = netfilter::open_xtables_store(choice);
  for (const Family family : kFamilies) {
    const std::vector<Network> chosen = of_family(addresses, family);
    if (chosen.empty()) continue;
    // Before the commit, whose answer may be lost.
    const auto made = std::make_shared<bool>(false);
    undo.add("remove masquerading", [choice, owner, family, chosen, made] {
      if (!*made) return;
      netfilter::open_xtables_store(choice)->change(
          family, kTable, [&](xtables::Table& table) { remove_from(table, owner, chosen); });
    });
    store->change(family, kTable, [&](xtables::Table& table) {
      *made = !differences_from(table, owner, chosen, config).empty();
      add_to(table, owner, chosen, config);
    });
  }
}

// Calls `change` for each table nat that has rules of somebody's masquerading.
void change_tables(BestEffort& cleanup, const std::optional<std::string>& chain,
                   const std::function<void(xtables::Table&)>& change) {
  for (const auto& store : netfilter::existing_xtables_stores()) {
    for (const Family family : kFamilies) {
      cleanup.run(fmt::format("remove masquerading of {}", name(family)), [&] {
        const auto table = store->find(family, kTable);
        if (table && concerns(*table, chain)) store->change(family, kTable, change);
      });
    }
  }
}

// Looks through the stores of xtables for one that has rules of the attachment.
bool check_xtables(const Owner& owner, const std::vector<Network>& addresses, const Config& config,
                   attachment::Differences& differences) {
  const std::string chain = chain_name(owner.network, owner.container_id);
  for (const auto& store : netfilter::existing_xtables_stores()) {
    bool found = false;
    std::vector<std::string> sentences;
    for (const Family family : kFamilies) {
      const std::vector<Network> chosen = of_family(addresses, family);
      if (chosen.empty()) continue;
      const auto table = store->find(family, kTable);
      found = found || (table && concerns(*table, chain));
      if (!table) {
        sentences.push_back(fmt::format("{} has no table nat", name(family)));
        continue;
      }
      for (std::string& each : differences_from(*table, owner, chosen, config)) {
        sentences.push_back(std::move(each));
      }
    }
    if (!found) continue;
    for (std::string& each : sentences) differences.add(std::move(each));
    return true;
  }
  return false;
}

}  // namespace

std::vector<Network> container_addresses(const Request& request, const Result& result) {
  std::vector<Network> addresses;
  for (const IpConfig& ip : result.ips) {
    if (ip.interface && *ip.interface < result.interfaces.size()) {
      const Interface& interface = result.interfaces[*ip.interface];
      if (interface.sandbox.empty() || interface.name != request.environment.ifname) continue;
    }
    const bool is_new = std::ranges::none_of(
        addresses, [&](const Network& each) { return each.address == ip.address.address; });
    if (is_new) addresses.push_back(ip.address);
  }
  return addresses;
}

void add(const Request& request, const Result& result, const Config& config, Undo& undo) {
  const Owner owner = owner_of(request);
  const std::vector<Network> addresses = wanted_addresses(request, result, config);
  if (addresses.empty()) return;
  if (const auto absent = find_absent_source(config)) throw Error(Code::kInvalidConfig, *absent);
  const StoreChoice store = netfilter::choose_store(config.backend);
  if (const auto key = find_unserved_key(config, store)) throw Error(Code::kInvalidConfig, *key);
  if (store != StoreChoice::kNative) {
    add_to_xtables(store, owner, addresses, config, undo);
    return;
  }
  native::add(owner, addresses, config, undo);
}

void check(const Request& request, const Result& previous, const Config& config,
           attachment::Differences& differences) {
  const Owner owner = owner_of(request);
  const std::vector<Network> addresses = wanted_addresses(request, previous, config);
  if (addresses.empty()) return;
  if (const auto absent = find_absent_source(config)) differences.add(*absent);
  if (native::has(owner)) {
    native::check(owner, addresses, config, differences);
    return;
  }
  if (check_xtables(owner, addresses, config, differences)) return;
  for (const Network& each : addresses) {
    if (!reference::has(owner, each.address)) {
      differences.add(fmt::format("address {} is not masqueraded", each.address.text()));
    }
  }
}

void remove(const Request& request) {
  const Owner owner = owner_of(request);
  std::vector<Network> hint;
  if (const auto previous = request.conf.hint_prev_result()) {
    hint = container_addresses(request, *previous);
  }
  BestEffort cleanup;
  cleanup.run("remove masquerading", [&] { native::remove(owner); });
  cleanup.run("remove masquerading of the reference suite", [&] { reference::remove(owner); });
  change_tables(cleanup, chain_name(owner.network, owner.container_id),
                [&](xtables::Table& table) { remove_from(table, owner, hint); });
  cleanup.finish();
}

void collect(const std::string& network, const std::vector<Attachment>& valid) {
  std::vector<Owner> owners;
  for (const Attachment& each : valid) {
    owners.push_back(
        {.network = network, .container_id = each.container_id, .ifname = each.ifname});
  }
  BestEffort collection;
  collection.run("collect masquerading", [&] {
    native::remove_if([&](const Owner& owner) {
      return owner.network == network && std::ranges::find(owners, owner) == owners.end();
    });
  });
  collection.run("collect masquerading of the reference suite",
                 [&] { reference::collect(network, owners); });
  change_tables(collection, std::nullopt,
                [&](xtables::Table& table) { collect_from(table, network, owners); });
  collection.finish();
}

std::optional<std::string> find_obstacle(const Config& config) {
  if (const auto absent = find_absent_source(config)) return absent;
  try {
    const StoreChoice store = netfilter::choose_store(config.backend);
    if (const auto key = find_unserved_key(config, store)) return key;
    if (store == StoreChoice::kNative) return native::find_obstacle();
    netfilter::require_access(store);
  } catch (const SystemError& error) {
    return error.what();
  }
  return std::nullopt;
}

}  // namespace cni::masquerade
