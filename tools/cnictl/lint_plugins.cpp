#include <algorithm>
#include <cstdint>
#include <limits>
#include <utility>

#include "lint_keys.h"

namespace cni::cnictl {
namespace {

constexpr std::int64_t kMost31 = std::numeric_limits<std::int32_t>::max();

Shape route() {
  return object({{"dst", network(), true},
                 {"gw", address()},
                 {"mtu", integer(0)},
                 {"advmss", integer(0)},
                 {"priority", integer(0)},
                 {"table", integer(0)},
                 {"scope", integer(0, 255)}});
}

Shape range() {
  return object({{"subnet", network(), true},
                 {"rangeStart", address()},
                 {"rangeEnd", address()},
                 {"gateway", address()}});
}

Shape families(const Shape& shape) {
  return object({{"ipv4", shape}, {"ipv6", shape}, {"v4", shape}, {"v6", shape}});
}

// Of the plugin masquerade, and of "ipMasq" as an object.
std::vector<Key> masquerade_keys() {
  Shape snat = families(addresses());
  snat.keys.emplace_back("persistent", boolean());
  return {{"masquerade", boolean_or(families(boolean()).keys)},
          {"nonMasqueradeCIDRs", list(network())},
          {"masqueradeCIDRs", list(network())},
          {"outInterfaces", list(text_value())},
          {"snat", snat},
          {"fullyRandom", boolean()},
          {"dropInvalid", boolean()},
          {"backend", one_of({"auto", "nftables", "iptables"})}};
}

Key ip_masq() {
  Shape shape = boolean_or(masquerade_keys());
  for (const Key& family : families(boolean()).keys) shape.keys.push_back(family);
  return {"ipMasq", shape};
}

Key masquerade_backend() {
  return {"ipMasqBackend", one_of({"auto", "iptables", "nftables"})};
}

// Plugins that make an interface.
std::vector<KnownPlugin> interface_plugins() {
  return {
      {.types = {"bridge"},
       .role = Role::kInterface,
       .ipam = IpamUse::kOptional,
       .keys = {{"bridge", text_value()},
                {"isGateway", boolean()},
                {"isDefaultGateway", boolean()},
                {"forceAddress", boolean()},
                ip_masq(),
                masquerade_backend(),
                {"forwardAccept", boolean()},
                {"mtu", integer_or(0, kMost31, "auto")},
                {"mtuOverhead", integer(0, kMost31)},
                {"hairpinMode", boolean()},
                {"promiscMode", boolean()},
                {"vlan", integer(0, 4094)},
                {"vlanTrunk", list(object({{"minID", integer(1, 4094)},
                                           {"maxID", integer(1, 4094)},
                                           {"id", integer(1, 4094)}}))},
                {"vlanMode", one_of({"access", "trunk", "hybrid"})},
                {"preserveDefaultVlan", boolean()},
                {"macspoofchk", boolean()},
                {"enabledad", boolean()},
                {"disableContainerInterface", boolean()},
                {"portIsolation", boolean()}},
       .capabilities = {"mac"}},
      {.types = {"ptp", "veth"},
       .role = Role::kInterface,
       .ipam = IpamUse::kRequired,
       .keys = {ip_masq(),
                masquerade_backend(),
                {"forwardAccept", boolean()},
                {"mtu", integer_or(0, kMost31, "auto")},
                {"mtuOverhead", integer(0, kMost31)}},
       .capabilities = {}},
      {.types = {"loopback"},
       .role = Role::kInterface,
       .ipam = IpamUse::kNone,
       .keys = {},
       .capabilities = {}},
      {.types = {"macvlan"},
       .role = Role::kInterface,
       .ipam = IpamUse::kOptional,
       .keys = {{"master", text_value()},
                {"mode", one_of({"bridge", "private", "vepa", "passthru"})},
                {"mtu", integer(0, kMost31)},
                {"mac", mac()},
                {"linkInContainer", boolean()},
                {"bcqueuelen", integer(0)}},
       .capabilities = {"mac"}},
      {.types = {"ipvlan"},
       .role = Role::kInterface,
       .ipam = IpamUse::kOptional,
       .keys = {{"master", text_value()},
                {"mode", one_of({"l2", "l3", "l3s"})},
                {"mtu", integer(0, kMost31)},
                {"linkInContainer", boolean()}},
       .capabilities = {}},
      {.types = {"vlan"},
       .role = Role::kInterface,
       .ipam = IpamUse::kRequired,
       .keys = {{"master", text_value(), true},
                {"vlanId", integer(0, 4094)},
                {"mtu", integer(0, kMost31)},
                {"linkInContainer", boolean()}},
       .capabilities = {}},
      {.types = {"host-device"},
       .role = Role::kInterface,
       .ipam = IpamUse::kOptional,
       .keys = {{"device", text_value()},
                {"hwaddr", mac()},
                {"kernelpath", text_value()},
                {"pciBusID", text_value()},
                {"DPDKMode", boolean()}},
       .capabilities = {"deviceID"}},
      {.types = {"dummy"},
       .role = Role::kInterface,
       .ipam = IpamUse::kRequired,
       .keys = {},
       .capabilities = {}},
      {.types = {"tap"},
       .role = Role::kInterface,
       .ipam = IpamUse::kOptional,
       .keys = {{"multiQueue", boolean()},
                {"mtu", integer(0, kMost31)},
                {"mac", mac()},
                {"owner", integer(0)},
                {"group", integer(0)},
                {"selinuxContext", text_value()},
                {"bridge", text_value()}},
       .capabilities = {"mac"}},
  };
}

// Plugins that change what a plugin before them made.
std::vector<KnownPlugin> chained_plugins() {
  return {
      {.types = {"portmap"},
       .role = Role::kChained,
       .ipam = IpamUse::kNone,
       .keys = {{"backend", one_of({"auto", "iptables", "nftables"})},
                {"snat", boolean()},
                {"masqAll", boolean()},
                {"markMasqBit", integer(0, 31)},
                {"externalSetMarkChain", text_value()},
                {"conditionsV4", list(text_value())},
                {"conditionsV6", list(text_value())},
                {"conflictPolicy", one_of({"error", "replace", "share"})},
                {"allowFrom", list(host())},
                {"denyFrom", list(host())}},
       .capabilities = {"portMappings"}},
      {.types = {"masquerade"},
       .role = Role::kChained,
       .ipam = IpamUse::kNone,
       .keys = masquerade_keys(),
       .capabilities = {}},
      {.types = {"bandwidth"},
       .role = Role::kChained,
       .ipam = IpamUse::kNone,
       .keys = bandwidth_keys().keys,
       .capabilities = {"bandwidth"}},
      {.types = {"tuning"},
       .role = Role::kChained,
       .ipam = IpamUse::kNone,
       .keys = {{"sysctl", texts()},
                {"mac", mac()},
                {"promisc", boolean()},
                {"mtu", integer(0)},
                {"txQLen", integer(0)},
                {"allmulti", boolean()},
                {"dataDir", text_value()}},
       .capabilities = {"mac"}},
      {.types = {"sbr"},
       .role = Role::kChained,
       .ipam = IpamUse::kNone,
       .keys = {{"table", integer(0)},
                {"gateways", list(address())},
                {"addSourceHints", boolean()}},
       .capabilities = {}},
      {.types = {"vrf"},
       .role = Role::kChained,
       .ipam = IpamUse::kNone,
       .keys = {{"vrfname", text_value(), true}, {"table", integer(0)}},
       .capabilities = {}},
      {.types = {"firewall"},
       .role = Role::kChained,
       .ipam = IpamUse::kNone,
       .keys = {{"backend", one_of({"iptables", "firewalld", "nftables"})},
                {"iptablesAdminChainName", text_value()},
                {"firewalldZone", text_value()},
                {"ingressPolicy", one_of({"open", "same-bridge", "isolated"})}},
       .capabilities = {}},
  };
}

std::vector<KnownPlugin> ipam_plugins() {
  return {
      {.types = {"host-local", "host-local-ipam"},
       .role = Role::kIpam,
       .ipam = IpamUse::kNone,
       .keys = {{"subnet", network()},
                {"rangeStart", address()},
                {"rangeEnd", address()},
                {"gateway", address()},
                {"ranges", list(list(range()))},
                {"routes", list(route())},
                {"dataDir", text_value()},
                {"resolvConf", text_value()},
                {"reserved", list(interval())},
                {"sticky", boolean_or({{"ttl", duration()}})},
                {"cooldown", duration()},
                {"reclaim", boolean()}},
       .capabilities = {"ipRanges", "ips"}},
      {.types = {"static"},
       .role = Role::kIpam,
       .ipam = IpamUse::kNone,
       .keys = {{"addresses", list(object({{"address", network(), true},
                                           {"gateway", address()},
                                           {"version", text_value()}}))},
                {"routes", list(route())},
                {"dns", dns()}},
       .capabilities = {"ips"}},
      {.types = {"dhcp"},
       .role = Role::kIpam,
       .ipam = IpamUse::kNone,
       .keys = {{"daemonSocketPath", text_value()},
                {"priority", integer(0)},
                {"provide", list(object({{"option", text_value()},
                                         {"value", text_value()},
                                         {"fromArg", text_value()}}))},
                {"request", list(object({{"option", text_value()}, {"skipDefault", boolean()}}))}},
       .capabilities = {}},
  };
}

const std::vector<KnownPlugin>& known_plugins() {
  static const std::vector<KnownPlugin> kPlugins = [] {
    std::vector<KnownPlugin> all = interface_plugins();
    for (KnownPlugin& plugin : chained_plugins()) all.push_back(std::move(plugin));
    for (KnownPlugin& plugin : ipam_plugins()) all.push_back(std::move(plugin));
    return all;
  }();
  return kPlugins;
}

}  // namespace

const KnownPlugin* find_known_plugin(std::string_view type) {
  for (const KnownPlugin& plugin : known_plugins()) {
    if (std::ranges::find(plugin.types, type) != plugin.types.end()) return &plugin;
  }
  return nullptr;
}

std::vector<std::string> known_types() {
  std::vector<std::string> types;
  for (const KnownPlugin& plugin : known_plugins()) {
    types.insert(types.end(), plugin.types.begin(), plugin.types.end());
  }
  return types;
}

}  // namespace cni::cnictl
