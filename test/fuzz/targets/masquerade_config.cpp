// The configuration, and the rules that it means for the addresses of prevResult.

#include "fuzz/input.h"
#include "fuzz/oracle.h"
#include "fuzz/rules.h"
#include "fuzz/targets.h"
#include "masquerade/config.h"
#include "masquerade/native_rules.h"
#include "masquerade/xtables_rules.h"

namespace cni::fuzz {
namespace {

const netfilter::Owner kOwner{.network = "net", .container_id = "c1", .ifname = "eth0"};

void check_native(const masquerade::Config& config, const inet::Network& address) {
  for (const bool drops : {false, true}) {
    const masquerade::Policy policy(config, address, drops);
    require_sendable(policy.layout());
    for (const auto& [set, elements] : policy.sets()) require_sendable(set, elements);
  }
}

void check_xtables(const masquerade::Config& config, const inet::Network& address) {
  const inet::Family family = address.family();
  require_storable(masquerade::jump_rule(kOwner, address.address), family);
  require_storable(masquerade::interface_mark(kOwner, address.address), family);
  for (const auto& rule : masquerade::accept_rules(kOwner, {address}, config)) {
    require_storable(rule, family);
  }
  for (const auto& rule : masquerade::translation_rules(kOwner, family, config)) {
    require_storable(rule, family);
  }
}

void check(const masquerade::Config& config, const std::optional<Result>& previous) {
  std::vector<inet::Network> addresses = {*inet::Network::parse("10.88.0.5/16"),
                                          *inet::Network::parse("2001:db8::5/64")};
  if (previous) {
    for (const IpConfig& ip : previous->ips) addresses.push_back(ip.address);
  }
  for (const inet::Network& address : addresses) {
    if (!config.is_on(address.family())) continue;
    check_native(config, address);
    check_xtables(config, address);
  }
}

}  // namespace

void masquerade_config(std::string_view input) {
  std::optional<Request> request;
  if (!accepts([&] { request = request_of(input); }, kConfigCodes)) return;
  require_sound(*request);
  const std::optional<Result> previous = request->conf.hint_prev_result();
  accepts([&] { check(masquerade::parse_config(request->conf), previous); }, kConfigCodes);
  const auto chained = [&] {
    if (const auto config = masquerade::parse_ip_masq(request->conf)) check(*config, previous);
  };
  accepts(chained, kConfigCodes);
}

}  // namespace cni::fuzz
