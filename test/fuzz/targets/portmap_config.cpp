// The configuration, and the rules and elements that it means for the addresses of prevResult.

#include "fuzz/input.h"
#include "fuzz/oracle.h"
#include "fuzz/rules.h"
#include "fuzz/targets.h"
#include "portmap/config.h"
#include "portmap/holding.h"
#include "portmap/native_elements.h"
#include "portmap/native_shared_chains.h"
#include "portmap/xtables_hostports.h"

namespace cni::fuzz {
namespace {

void check_native(const Request& request, const portmap::Config& config, inet::Family family) {
  const portmap::Holding holding =
      portmap::wanted_holding(request, config, netfilter::StoreChoice::kNative, family);
  const auto again =
      portmap::parse_holding({.owner = holding.owner, .content = portmap::render(holding)});
  require(again == holding, "what is written down reads back");
  for (const portmap::SharedChain& chain : portmap::shared_chains(holding)) {
    require_sendable({.sets = {}, .chains = {chain.content}});
    for (const auto& [set, elements] : chain.sets) require_sendable(set, elements);
  }
  for (const auto& [set, elements] : portmap::elements_of(holding)) require_sendable(set, elements);
}

// Each has rules and elements of its own: more of them say nothing new, and take seconds.
constexpr std::uint32_t kMostPorts = 1000;

bool has_many_ports(const portmap::Config& config) {
  std::uint32_t ports = 0;
  for (const portmap::Mapping& mapping : config.mappings) ports += mapping.count;
  return ports > kMostPorts;
}

void check_xtables(const portmap::Config& config, inet::Family family) {
  const portmap::ContainerRules rules = portmap::render_rules(config, family, "net", "c1");
  for (const auto& placed : rules.shared) require_storable(placed.rule, family);
  for (const auto& rule : rules.own) require_storable(rule, family);
  for (const auto& rule : rules.entry) require_storable(rule, family);
}

}  // namespace

void portmap_config(std::string_view input) {
  std::optional<Request> request;
  if (!accepts([&] { request = request_of(input); }, kConfigCodes)) return;
  require_sound(*request);
  std::optional<portmap::Config> config;
  const auto parse = [&] {
    config = portmap::parse_config(*request, request->conf.find_prev_result());
  };
  if (!accepts(parse, kConfigCodes) || has_many_ports(*config)) return;
  for (const inet::Family family : inet::kFamilies) {
    if (!config->address(family)) continue;
    accepts([&] { check_native(*request, *config, family); }, kConfigCodes);
    // Rules of xtables have words for less.
    accepts([&] { check_xtables(*config, family); }, kConfigCodes);
  }
}

}  // namespace cni::fuzz
