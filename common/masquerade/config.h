// What a configuration says about masquerading, valid by construction.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "inet/address.h"
#include "inet/network.h"
#include "json/reader.h"
#include "netfilter/choose_store.h"
#include "protocol/net_conf.h"

namespace cni::masquerade {

// Source addresses to give out instead of that of the outgoing interface; both ends included.
struct SourceRange {
  inet::Address first;
  inet::Address last;
  std::string place;  // where it stands in the configuration, as json::Reader::place() says it

  // "192.0.2.1" or "192.0.2.1-192.0.2.9"
  std::string text() const;
};

// The defaults are what `"ipMasq": true` means.
struct Config {
  bool ipv4 = true;
  bool ipv6 = true;
  netfilter::Backend backend = netfilter::Backend::kAuto;

  // Destinations. The container's own subnet and multicast are never masqueraded.
  std::vector<inet::Network> skipped = {};  // nonMasqueradeCIDRs, without host bits
  std::vector<inet::Network> only = {};     // masqueradeCIDRs, without host bits; empty: any
  // A name that ends in '+' stands for all that begin so. Empty: any.
  std::vector<std::string> out_interfaces = {};

  std::optional<SourceRange> snat_ipv4 = {};
  std::optional<SourceRange> snat_ipv6 = {};
  bool persistent = false;  // a client keeps its address of the range

  // Nothing is the way of the store: on in our own tables of nf_tables; off in the stores of
  // xtables, which have rules that the reference suite would write too, and no dropInvalid.
  std::optional<bool> fully_random = {};
  std::optional<bool> drop_invalid = {};

  // Whether any destination of the family is masqueraded.
  bool is_on(inet::Family family) const;
  const std::optional<SourceRange>& snat(inet::Family family) const {
    return family == inet::Family::kIpv4 ? snat_ipv4 : snat_ipv6;
  }
};

// Of plugins that make an interface: key "ipMasq", which is a boolean or an object of the keys
// below, and "ipMasqBackend". Nothing if it is absent or false. Throws json::ValueError.
std::optional<Config> parse_ip_masq(const NetConf& conf);

// Of the plugin masquerade: the keys stand in the configuration itself. Throws json::ValueError.
Config parse_config(const NetConf& conf);

}  // namespace cni::masquerade
