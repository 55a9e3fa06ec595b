#include "native_shared_chains.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>

#include "base/digest.h"
#include "condition_rules.h"
#include "native_layout.h"
#include "native_sets.h"
#include "nftables/intervals.h"

namespace cni::portmap {

namespace expr = nftables::expr;
using inet::Family;
using nftables::Expression;
using nftables::Set;
using nftables::Verdict;

namespace {

constexpr unsigned kKey = 0;  // the register for what is looked at

std::string gate_text(const Gate& gate) {
  json::Value text = json::Value::array();
  text.push_back(gate.conditions);
  text.push_back(gate.sources.limited);
  for (const auto* list : {&gate.sources.allowed, &gate.sources.denied}) {
    json::Value networks = json::Value::array();
    for (const inet::Network& network : *list) networks.push_back(network.text());
    text.push_back(std::move(networks));
  }
  return json::compact(text);
}

std::string gate_digest(const Gate& gate) {
  return sha512_hex(gate_text(gate), 16);
}

SharedChain gate_chain(const Gate& gate, Family family) {
  std::vector<std::vector<Expression>> rules = missed(parse_conditions(gate.conditions, family));
  for (auto& rule : rules) rule.push_back(expr::verdict({.kind = Verdict::Kind::kAccept}));

  SharedChain shared;
  const auto drop_sources = [&](const char* prefix, const std::vector<inet::Network>& networks,
                                bool listed) {
    const Set set{.table = hostports_table(family),
                  .name = prefix + gate_digest(gate),
                  .key_length = nftables::address_length(family),
                  .key_type = nftables::address_type(family),
                  .interval = true};
    // What the host itself sends has no interface that it came in by.
    rules.push_back({expr::meta(expr::Meta::kInInterface, kKey),
                     expr::compare(expr::Compare::kNotEqual, kKey, nftables::host_order(0)),
                     expr::source_address(family, kKey), expr::lookup(set.name, kKey, !listed),
                     expr::verdict({.kind = Verdict::Kind::kDrop})});
    shared.sets.push_back({.set = set, .elements = nftables::interval_elements(networks)});
  };
  if (!gate.sources.denied.empty()) drop_sources("deny-", gate.sources.denied, true);
  if (gate.sources.limited) drop_sources("allow-", gate.sources.allowed, false);
  shared.content = hostports_chain(family, gate_name(gate), std::move(rules));
  return shared;
}

SharedChain localnet_chain_of(const Localnet& localnet) {
  return {.content = hostports_chain(Family::kIpv4, localnet_chain(localnet), {})};
}

SharedChain masquerade_chain(const Holding& holding) {
  const Family family = holding.family();
  const auto from = [&](const inet::Network& network) {
    // The other way round: what is missed by the condition "not from there".
    const Condition elsewhere{
        .field = Condition::Field::kSource, .inverted = true, .networks = {network}};
    auto rule = missed(std::vector{elsewhere}).front();
    rule.push_back(expr::masquerade(false));
    return rule;
  };
  std::vector<std::vector<Expression>> rules;
  if (holding.masquerade == Masquerade::kAll) {
    rules.push_back({expr::masquerade(false)});
  } else {
    rules.push_back(from(holding.address.masked()));
    const char* localhost = family == Family::kIpv4 ? "127.0.0.0/8" : "::1/128";
    rules.push_back(from(*inet::Network::parse(localhost)));
  }
  return {.content = hostports_chain(family, masquerade_name(holding), std::move(rules))};
}

}  // namespace

std::vector<SharedChain> shared_chains(const Holding& holding) {
  std::vector<SharedChain> chains;
  if (holding.localnet) chains.push_back(localnet_chain_of(*holding.localnet));
  if (holding.store != netfilter::StoreChoice::kNative) return chains;
  for (std::size_t gate = 0; gate < holding.gates.size(); ++gate) {
    const bool used =
        std::ranges::any_of(holding.runs, [&](const Run& run) { return run.gate == gate; });
    if (used) chains.push_back(gate_chain(holding.gates[gate], holding.family()));
  }
  if (holding.masquerade != Masquerade::kNone) chains.push_back(masquerade_chain(holding));
  return chains;
}

std::string gate_name(const Gate& gate) {
  return "gate-" + gate_digest(gate);
}

std::string masquerade_name(const Holding& holding) {
  if (holding.masquerade == Masquerade::kAll) return "everybody";
  return "near-" + sha512_hex(holding.address.masked().text(), 16);
}

std::string localnet_chain(const Localnet& localnet) {
  // nft(8) reads no name with other characters back.
  const bool is_readable = std::ranges::all_of(localnet.interface, [](unsigned char one) {
    return std::isalnum(one) != 0 || one == '_' || one == '-' || one == '.';
  });
  return fmt::format("localnet-{}{}", localnet.reset ? "" : "kept-",
                     is_readable ? localnet.interface : sha512_hex(localnet.interface, 16));
}

}  // namespace cni::portmap
