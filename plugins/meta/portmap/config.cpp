#include "config.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "base/text.h"
#include "protocol/error.h"
#include "xtables/rule.h"

namespace cni::portmap {
namespace {

constexpr std::int64_t kLargestPort = 65535;
constexpr std::int64_t kDefaultMarkBit = 13;

using netfilter::Backend;

// "auto" is known to us alone; it is what an absent key means as well.
struct NamedBackend {
  std::optional<std::string> name;
  Backend backend;
};

NamedBackend parse_backend(const json::Reader& key) {
  const auto name = key.find_string();
  if (!name || *name == "auto") return {.name = {}, .backend = Backend::kAuto};
  return {.name = name, .backend = *name == "nftables" ? Backend::kNftables : Backend::kIptables};
}

Sources parse_sources(const json::Reader& allowed, const json::Reader& denied) {
  const auto parse = [](const json::Reader& list) {
    std::vector<inet::Network> networks;
    for (const json::Reader& element : list.elements()) {
      const std::string text = element.string_or("");
      auto network = inet::Network::parse(text);
      if (const auto address = inet::Address::parse(text)) network = inet::Network::host(*address);
      if (!network) element.refuse(fmt::format("{} is no address or network", in_quotes(text)));
      networks.push_back(network->masked());
    }
    return networks;
  };
  return {.limited = allowed.present(), .allowed = parse(allowed), .denied = parse(denied)};
}

std::uint16_t parse_port(const json::Reader& key, const char* which) {
  const std::int64_t port = key.find_integer().value_or(0);
  if (port < 1 || port > kLargestPort) {
    key.refuse(fmt::format("Invalid {} port number: {}", which, port));
  }
  return static_cast<std::uint16_t>(port);
}

Mapping parse_mapping(const json::Reader& entry, const Sources& network_sources) {
  if (!entry.present()) entry.refuse("an element of portMappings is null");
  const std::uint16_t container_port = parse_port(entry["containerPort"], "container");
  const std::uint16_t host_port = parse_port(entry["hostPort"], "host");
  const std::string protocol_text = entry["protocol"].string_or("");
  const auto protocol = find_protocol(protocol_text);
  if (!protocol) {
    entry["protocol"].refuse(
        fmt::format("Invalid protocol {}: it is tcp, udp or sctp", in_quotes(protocol_text)));
  }
  const std::string host_ip_text = entry["hostIP"].string_or("");
  const auto host_ip = inet::Address::parse(host_ip_text);
  if (!host_ip && !host_ip_text.empty()) {
    entry["hostIP"].refuse(fmt::format("Invalid host IP address {}", in_quotes(host_ip_text)));
  }
  const std::int64_t most = kLargestPort + 1 - std::max(host_port, container_port);
  return {.protocol = *protocol,
          .host_port = host_port,
          .container_port = container_port,
          .count = static_cast<std::uint32_t>(entry["range"].find_integer(1, most).value_or(1)),
          .host_ip = host_ip,
          .sources = both(network_sources, parse_sources(entry["allowFrom"], entry["denyFrom"]))};
}

std::vector<Mapping> parse_mappings(const NetConf& conf) {
  const Sources network_sources = parse_sources(conf["allowFrom"], conf["denyFrom"]);
  std::vector<Mapping> mappings;
  for (const json::Reader& entry : conf["runtimeConfig"]["portMappings"].elements()) {
    mappings.push_back(parse_mapping(entry, network_sources));
  }
  return mappings;
}

Conditions parse_family_conditions(const json::Reader& key, inet::Family family) {
  Conditions conditions{.words = key.strings(), .parsed = parse_conditions(key, family)};
  if (conditions.parsed.empty()) conditions.words.clear();
  return conditions;
}

// Keys that one backend knows and the other does not.
void refuse_keys_of_other_backend(const NetConf& conf, const std::string& chosen) {
  // As in the reference suite, a name that nobody knows is first of all not "iptables".
  const bool iptables = chosen == "iptables";
  std::vector<std::string> keys;
  if (!iptables && conf["externalSetMarkChain"].present())
    keys.emplace_back("externalSetMarkChain");
  for (const char* key : {"conditionsV4", "conditionsV6"}) {
    const auto syntax = syntax_of(conf[key].strings());
    if (syntax == (iptables ? Syntax::kNftables : Syntax::kIptables)) keys.emplace_back(key);
  }
  for (const char* key : {"allowFrom", "denyFrom"}) {
    const auto entries = conf["runtimeConfig"]["portMappings"].elements();
    const bool given =
        conf[key].present() || std::ranges::any_of(entries, [&](const json::Reader& entry) {
          return entry[key].present();
        });
    if (iptables && given) keys.emplace_back(key);
  }
  if (keys.empty()) return;
  conf["backend"].refuse(
      fmt::format("{} backend was requested but configuration contains {}-specific options [{}]",
                  chosen, iptables ? "nftables" : "iptables", fmt::join(keys, " ")));
}

void refuse_strange_host_ips(const NetConf& conf, const Config& config) {
  if (!config.address_v4 && !config.address_v6) return;
  const auto entries = conf["runtimeConfig"]["portMappings"].elements();
  for (std::size_t at = 0; at < entries.size(); ++at) {
    const auto& host_ip = config.mappings[at].host_ip;
    if (!host_ip || host_ip->is_unspecified() || config.address(host_ip->family())) continue;
    entries[at]["hostIP"].refuse(
        fmt::format("host IP address {} cannot be mapped: the container has no {} address",
                    host_ip->text(), inet::name(host_ip->family())));
  }
}

std::optional<std::string> parse_chain(const json::Reader& key) {
  const auto name = key.find_string();
  if (name && (name->empty() || name->size() > xtables::kLongestChain)) {
    key.refuse(fmt::format("no name of a chain: that has 1 to {} bytes", xtables::kLongestChain));
  }
  return name;
}

Config parse(const Request& request, const std::optional<Result>& previous) {
  const NetConf& conf = request.conf;
  const json::Reader mark_bit = conf["markMasqBit"];
  const json::Reader set_mark_chain = conf["externalSetMarkChain"];
  if (mark_bit.present() && set_mark_chain.present()) {
    set_mark_chain.refuse("Cannot specify externalSetMarkChain and markMasqBit");
  }
  const std::int64_t bit = mark_bit.find_integer().value_or(kDefaultMarkBit);
  if (bit < 0 || bit > 31) mark_bit.refuse("MasqMarkBit must be between 0 and 31");

  const NamedBackend backend = parse_backend(conf["backend"]);
  if (backend.name) refuse_keys_of_other_backend(conf, *backend.name);
  if (backend.name && *backend.name != "nftables" && *backend.name != "iptables") {
    conf["backend"].refuse(fmt::format("unrecognized backend {}", in_quotes(*backend.name)));
  }
  Config config{.backend = backend.backend,
                .snat = conf["snat"].bool_or(true),
                .masq_all = false,
                .mark_bit = static_cast<unsigned>(bit),
                .external_set_mark_chain = parse_chain(set_mark_chain),
                .v4 = parse_family_conditions(conf["conditionsV4"], inet::Family::kIpv4),
                .v6 = parse_family_conditions(conf["conditionsV6"], inet::Family::kIpv6),
                .conflict_policy = ConflictPolicy::kError,
                .mappings = parse_mappings(conf),
                .address_v4 = {},
                .address_v6 = {}};
  config.masq_all = config.snat && conf["masqAll"].bool_or(false);

  const std::string policy = conf["conflictPolicy"].string_or("error");
  if (policy == "replace") {
    config.conflict_policy = ConflictPolicy::kReplace;
  } else if (policy == "share") {
    config.conflict_policy = ConflictPolicy::kShare;
  } else if (policy != "error") {
    conf["conflictPolicy"].refuse(
        fmt::format("unknown conflictPolicy {}: it is error, replace or share", in_quotes(policy)));
  }

  if (previous) {
    const std::string& ifname = request.environment.ifname;
    config.address_v4 = find_container_address(*previous, inet::Family::kIpv4, ifname);
    config.address_v6 = find_container_address(*previous, inet::Family::kIpv6, ifname);
    refuse_strange_host_ips(conf, config);
  }
  return config;
}

}  // namespace

bool Config::limits_sources() const {
  return std::ranges::any_of(mappings,
                             [](const Mapping& mapping) { return !mapping.sources.unlimited(); });
}

Config parse_config(const Request& request, const std::optional<Result>& previous) {
  if (request.command == Command::kCheck) return parse(request, previous);
  try {
    return parse(request, previous);
  } catch (const json::ValueError& error) {
    // In the words of the reference suite, which people search for.
    throw json::ValueError(fmt::format("failed to parse config: {}", error.what()), error.place());
  }
}

std::optional<inet::Network> find_container_address(const Result& result, inet::Family family,
                                                    const std::string& ifname) {
  for (const IpConfig& ip : result.ips) {
    if (ip.address.family() != family) continue;
    if (ip.interface && *ip.interface < result.interfaces.size()) {
      const Interface& interface = result.interfaces[*ip.interface];
      if (interface.name != ifname || interface.sandbox.empty()) continue;
    }
    return ip.address;
  }
  return std::nullopt;
}

}  // namespace cni::portmap
