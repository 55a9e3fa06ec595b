#include "differences.h"

#include <fmt/format.h>

#include <algorithm>

#include "chain_names.h"
#include "foreign_chains.h"
#include "holding.h"
#include "localnet.h"
#include "native_hostports.h"
#include "reference_hostports.h"

namespace cni::portmap {
namespace {

using inet::Family;
using netfilter::same_attachment;
using netfilter::StoreChoice;

// What is written down of the attachment, against what it should be.
void compare_holding(const Holding& wanted, const Holding& present, const std::vector<Holding>& all,
                     std::vector<std::string>& found) {
  const auto add = [&](std::string text) { found.push_back(std::move(text)); };
  if (present.address != wanted.address) {
    add(fmt::format("host ports lead to {}, not to {}", present.address.text(),
                    wanted.address.text()));
  }
  std::vector<Run> served = present.runs;
  served.insert(served.end(), present.waiting.begin(), present.waiting.end());
  for (const Run& run : without(wanted.runs, served)) {
    const auto holder = std::ranges::find_if(all, [&](const Holding& other) {
      return !same_attachment(other.owner, wanted.owner) &&
             std::ranges::any_of(other.runs, [&](const Run& one) { return collide(one, run); });
    });
    add(fmt::format("host port {} is not mapped{}", run.text(),
                    holder == all.end() ? "" : ": " + describe(*holder) + " has it"));
  }
  for (const Run& run : without(served, wanted.runs)) {
    add(fmt::format("host port {} is mapped, and the configuration does not ask for it",
                    run.text()));
  }
  if (present.store == StoreChoice::kNative && found.empty() && present.waiting.empty() &&
      (present.runs != wanted.runs || present.gates != wanted.gates)) {
    add("container ports, conditions or sources of the host ports are not those of the "
        "configuration");
  }
  if (present.masquerade != wanted.masquerade)
    add("snat or masqAll is not that of the configuration");
}

// Of a container of the reference suite's nftables backend.
void compare_reference(const Holding& wanted, const std::vector<ReferenceRule>& rules,
                       std::vector<std::string>& found) {
  std::vector<Run> served;
  for (const ReferenceRule& rule : rules) {
    const bool to_container =
        std::ranges::find(rule.addresses, wanted.address.address) != rule.addresses.end();
    if (rule.run && to_container) served.push_back(*rule.run);
  }
  for (const Run& run : without(wanted.runs, served)) {
    found.push_back(
        fmt::format("missing hostport rules in \"hostports\" chain: host port {}", run.text()));
  }
  const bool masquerades = std::ranges::any_of(rules, [&](const ReferenceRule& rule) {
    return rule.rule.chain == "masquerading" &&
           std::ranges::find(rule.addresses, wanted.address.address) != rule.addresses.end();
  });
  if (wanted.masquerade != Masquerade::kNone && !masquerades) {
    found.emplace_back("missing hostport rules in \"masquerading\" chain");
  }
}

void compare_chain(const Config& config, const Holding& wanted, StoreChoice store,
                   std::vector<std::string>& found) {
  const ContainerRules rules =
      render_rules(config, wanted.family(), wanted.owner.network, wanted.owner.container_id);
  const auto nat = netfilter::open_xtables_store(store)->find(wanted.family(), "nat");
  const auto missing =
      nat ? missing_rules(*nat, rules)
          : std::vector{fmt::format("chain {} not found in iptables table nat", rules.chain)};
  for (const std::string& one : missing) {
    found.push_back(fmt::format("could not check {} dnat: {}",
                                wanted.family() == Family::kIpv4 ? "ipv4" : "ipv6", one));
  }
}

// The store in which the attachment has its chain.
std::optional<StoreChoice> find_chain_store(std::optional<nftables::Socket>& socket,
                                            const Holding& wanted) {
  const std::string chain = container_chain(wanted.owner.network, wanted.owner.container_id);
  for (const auto& store : stores_with_hostports(socket)) {
    const auto nat = store->find(wanted.family(), "nat");
    if (nat && nat->has_chain(chain)) {
      return choice_of(*store);
    }
  }
  return std::nullopt;
}

}  // namespace

std::vector<std::string> differences(const Request& request, const Config& config) {
  std::vector<std::string> found;
  std::optional<nftables::Socket> socket = nftables::Socket::find();
  for (const Family family : kFamilies) {
    if (!config.address(family)) continue;
    Holding wanted = wanted_holding(request, config, StoreChoice::kNative, family);
    if (wanted.runs.empty()) continue;
    const auto all =
        socket ? NativeHostports(*socket, family).list_concerned({wanted.owner}, wanted.runs)
               : std::vector<Holding>();
    std::optional<StoreChoice> store;
    if (const Holding* present = find_holding(all, wanted.owner)) {
      compare_holding(wanted, *present, all, found);
      for (std::string& text : NativeHostports(*socket, family).differences(*present)) {
        found.push_back(std::move(text));
      }
      if (present->store != StoreChoice::kNative) store = present->store;
      if (present->localnet && !is_localnet_routed(present->localnet->interface)) {
        found.push_back(fmt::format("sysctl net/ipv4/conf/{}/route_localnet is 0, not 1",
                                    present->localnet->interface));
      }
    } else if (store = find_chain_store(socket, wanted); !store) {
      const auto rules = socket ? reference_rules(*socket, family, wanted.owner.container_id)
                                : std::vector<ReferenceRule>();
      if (rules.empty()) {
        found.push_back(fmt::format("no host port is mapped to the {} address of the container",
                                    inet::name(family)));
        continue;
      }
      compare_reference(wanted, rules, found);
    }
    if (store) compare_chain(config, wanted, *store, found);
  }
  return found;
}

}  // namespace cni::portmap
