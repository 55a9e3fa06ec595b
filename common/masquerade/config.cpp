#include "masquerade/config.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <utility>

#include "base/text.h"

namespace cni::masquerade {
namespace {

using inet::Family;
using netfilter::Backend;

constexpr std::size_t kLongestLinkName = 15;  // IFNAMSIZ less the final zero, linux/if.h

// The member for a family, under its long or its short name; absent if neither is there.
json::Reader family_member(const json::Reader& object, Family family) {
  const bool v4 = family == Family::kIpv4;
  const json::Reader long_name = object[v4 ? "ipv4" : "ipv6"];
  const json::Reader short_name = object[v4 ? "v4" : "v6"];
  if (long_name.present() && short_name.present()) {
    short_name.refuse(fmt::format("{}, and key {} says the same family", short_name.place(),
                                  in_quotes(long_name.path())));
  }
  return short_name.present() ? short_name : long_name;
}

void parse_families(const json::Reader& families, Config& config) {
  config.ipv4 = family_member(families, Family::kIpv4).bool_or(true);
  config.ipv6 = family_member(families, Family::kIpv6).bool_or(true);
}

std::optional<Backend> parse_backend(const json::Reader& key) {
  const auto name = key.find_string();
  if (!name) return std::nullopt;
  if (*name == "auto") return Backend::kAuto;
  if (*name == "nftables") return Backend::kNftables;
  if (*name == "iptables") return Backend::kIptables;
  key.refuse(
      fmt::format("unknown ipmasq backend {}: it is auto, nftables or iptables", in_quotes(*name)));
}

std::vector<inet::Network> parse_networks(const json::Reader& list) {
  std::vector<inet::Network> networks;
  for (const json::Reader& element : list.elements()) {
    const auto network = element.find_network();
    if (!network) element.refuse("a network of the list is empty");
    networks.push_back(network->masked());
  }
  return networks;
}

std::string parse_interface(const json::Reader& element) {
  const std::string name = element.string_or("");
  const bool usable =
      !name.empty() && name != "." && name != ".." && name.size() <= kLongestLinkName &&
      valid_utf8(name) == name && std::ranges::none_of(name, [](char byte) {
        return byte == '/' || byte == ':' || byte == 0x7f || (byte >= 0 && byte <= ' ');
      });
  if (!usable) element.refuse(fmt::format("{} is no name of a link", in_quotes(name)));
  if (name == "+") element.refuse("\"+\" stands for every link, which is what no list means");
  return name;
}

std::optional<SourceRange> parse_source(const json::Reader& snat, Family family) {
  const json::Reader key = family_member(snat, family);
  const std::string text = key.string_or("");
  if (text.empty()) return std::nullopt;
  const std::size_t dash = text.find('-');
  const auto first = inet::Address::parse(text.substr(0, dash));
  const auto last = dash == std::string::npos ? first : inet::Address::parse(text.substr(dash + 1));
  if (!first || !last || first->family() != family || last->family() != family) {
    key.refuse(fmt::format("{} is neither an {} address nor two of them joined by '-'",
                           in_quotes(text), name(family)));
  }
  if (*last < *first)
    key.refuse(fmt::format("the range {} ends before it begins", in_quotes(text)));
  return SourceRange{.first = *first, .last = *last, .place = key.place()};
}

// The keys that both forms have, in an object or in the configuration itself.
template <typename Keys>
void parse_keys(const Keys& keys, Config& config) {
  config.skipped = parse_networks(keys["nonMasqueradeCIDRs"]);
  config.only = parse_networks(keys["masqueradeCIDRs"]);
  for (const json::Reader& element : keys["outInterfaces"].elements()) {
    config.out_interfaces.push_back(parse_interface(element));
  }
  const json::Reader snat = keys["snat"];
  config.snat_ipv4 = parse_source(snat, Family::kIpv4);
  config.snat_ipv6 = parse_source(snat, Family::kIpv6);
  config.persistent = snat["persistent"].bool_or(false);
  config.fully_random = keys["fullyRandom"].find_bool();
  config.drop_invalid = keys["dropInvalid"].find_bool();
}

// Of the key "masquerade", or what stands in its place.
bool parse_switch(const json::Reader& key, Config& config) {
  if (key.present() && key.value().is_boolean()) {
    config.ipv4 = config.ipv6 = key.bool_or(true);
  } else {
    parse_families(key, config);
  }
  return config.ipv4 || config.ipv6;
}

}  // namespace

std::string SourceRange::text() const {
  return first == last ? first.text() : fmt::format("{}-{}", first.text(), last.text());
}

bool Config::is_on(Family family) const {
  const bool chosen = family == Family::kIpv4 ? ipv4 : ipv6;
  return chosen &&
         (only.empty() || std::ranges::find(only, family, &inet::Network::family) != only.end());
}

std::optional<Config> parse_ip_masq(const NetConf& conf) {
  const json::Reader key = conf["ipMasq"];
  if (!key.present()) return std::nullopt;
  Config config;
  bool on = true;
  std::optional<Backend> backend;
  if (key.value().is_boolean()) {
    on = key.bool_or(false);
  } else {
    // {"ipv4": true, ...} is short for {"masquerade": {"ipv4": true}, ...}.
    const json::Reader families = key["masquerade"];
    on = parse_switch(families.present() ? families : key, config);
    parse_keys(key, config);
    backend = parse_backend(key["backend"]);
  }
  // What is not to be done needs no store.
  if (!on) return std::nullopt;
  const auto outer = parse_backend(conf["ipMasqBackend"]);
  if (backend && outer && *backend != *outer) {
    key["backend"].refuse(
        fmt::format("{}, and {}", key["backend"].place(), conf["ipMasqBackend"].place()));
  }
  config.backend = backend ? *backend : outer.value_or(Backend::kAuto);
  return config;
}

Config parse_config(const NetConf& conf) {
  Config config;
  parse_switch(conf["masquerade"], config);
  parse_keys(conf, config);
  config.backend = parse_backend(conf["backend"]).value_or(Backend::kAuto);
  return config;
}

}  // namespace cni::masquerade
