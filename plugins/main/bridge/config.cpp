#include "config.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <map>

#include "base/log.h"
#include "base/text.h"
#include "protocol/error.h"

namespace cni::bridge {
namespace {

constexpr std::string_view kDefaultBridge = "cni0";
constexpr std::size_t kLongestLinkName = 15;  // IFNAMSIZ less the final zero, linux/if.h
constexpr std::int64_t kLargestVlan = 4094;
constexpr std::uint16_t kDefaultVlan = 1;  // of every port of a bridge that filters VLANs

bool is_link_name(std::string_view name) {
  constexpr std::array<std::string_view, 5> kReserved = {".", "..", "all", "default", "lo"};
  return !name.empty() && name.size() <= kLongestLinkName && valid_utf8(name) == name &&
         std::ranges::find(kReserved, name) == kReserved.end() &&
         std::ranges::none_of(name, [](char byte) {
           return byte == '/' || byte == ':' || byte == '%' || byte == 0x7f ||
                  (byte >= 0 && byte <= ' ');
         });
}

std::string parse_bridge_name(const json::Reader& key) {
  const std::string name = key.string_or(kDefaultBridge);
  if (!is_link_name(name)) {
    key.refuse(
        fmt::format("failed to create bridge {}: not a usable name for a link", in_quotes(name)));
  }
  return name;
}

struct Vlans {
  std::vector<netlink::PortVlan> port;
  std::uint16_t access = 0;
  bool filtering = false;
};

std::uint16_t parse_vlan(const json::Reader& key) {
  const std::int64_t vlan = key.find_integer().value_or(0);
  if (vlan < 0 || vlan > kLargestVlan) {
    key.refuse(fmt::format("invalid VLAN ID {} (must be between 0 and {})", vlan, kLargestVlan));
  }
  return static_cast<std::uint16_t>(vlan);
}

std::optional<std::uint16_t> parse_trunk_id(const json::Reader& key, const char* problem) {
  const auto id = key.find_integer();
  if (!id) return std::nullopt;
  if (*id < 1 || *id > kLargestVlan) key.refuse(problem);
  return static_cast<std::uint16_t>(*id);
}

// Adds the VLANs of one element of vlanTrunk: a range, a single one, or both.
void parse_trunk_element(const json::Reader& element,
                         std::map<std::uint16_t, netlink::PortVlan>& vlans) {
  if (!element.present()) element.refuse("an element of vlanTrunk is null");
  const auto first = parse_trunk_id(element["minID"], "incorrect trunk minID parameter");
  const auto last = parse_trunk_id(element["maxID"], "incorrect trunk maxID parameter");
  const auto single = parse_trunk_id(element["id"], "incorrect trunk id parameter");
  if (last && !first) {
    element["minID"].refuse(
        "minID and maxID should be configured simultaneously, minID is missing");
  }
  if (first && !last) {
    element["maxID"].refuse(
        "minID and maxID should be configured simultaneously, maxID is missing");
  }
  if (first && *first > *last) {
    element["minID"].refuse("minID is greater than maxID in trunk parameter");
  }
  if (single) vlans[*single] = {.id = *single};
  for (unsigned id = first.value_or(1); first && id <= *last; ++id) {
    vlans[static_cast<std::uint16_t>(id)] = {.id = static_cast<std::uint16_t>(id)};
  }
}

// Says in plain words what vlan and vlanTrunk have to be for a vlanMode.
void check_vlan_mode(const NetConf& conf, const std::string& mode, bool has_vlan, bool has_trunk) {
  const json::Reader key = conf["vlanMode"];
  const auto require = [&](bool is, bool wanted, const char* name) {
    if (is != wanted) {
      key.refuse(fmt::format("vlanMode \"{}\" {} \"{}\"", mode,
                             wanted ? "needs the key" : "does not go with the key", name));
    }
  };
  if (mode == "access") {
    require(has_vlan, true, "vlan");
    require(has_trunk, false, "vlanTrunk");
  } else if (mode == "trunk") {
    require(has_vlan, false, "vlan");
    require(has_trunk, true, "vlanTrunk");
  } else if (mode == "hybrid") {
    require(has_vlan, true, "vlan");
    require(has_trunk, true, "vlanTrunk");
  } else {
    key.refuse(fmt::format("unknown vlanMode {}: it is access, trunk or hybrid", in_quotes(mode)));
  }
}

Vlans parse_vlans(const NetConf& conf) {
  const std::uint16_t access = parse_vlan(conf["vlan"]);
  const json::Reader trunk = conf["vlanTrunk"];
  std::map<std::uint16_t, netlink::PortVlan> vlans;
  for (const json::Reader& element : trunk.elements()) parse_trunk_element(element, vlans);
  const bool has_trunk = !vlans.empty();
  const auto mode = conf["vlanMode"].find_string();
  if (mode) check_vlan_mode(conf, *mode, access != 0, has_trunk);

  // Without a vlanMode a trunk keeps the default VLAN as its native one; "trunk" says that every
  // frame is tagged.
  const std::uint16_t native = access != 0 || mode ? access : kDefaultVlan;
  const bool any = access != 0 || has_trunk;
  if (any && native != 0) vlans[native] = {.id = native, .pvid = true, .untagged = true};
  Vlans parsed{.port = {}, .access = access, .filtering = access != 0 || trunk.present()};
  for (const auto& [id, vlan] : vlans) parsed.port.push_back(vlan);
  return parsed;
}

std::optional<inet::Mac> parse_container_mac(const NetConf& conf, const Args& args) {
  const auto check = [](const std::string& text, const auto& refuse) -> std::optional<inet::Mac> {
    if (text.empty()) return std::nullopt;
    const auto mac = inet::Mac::parse(text);
    if (!mac || mac->bytes().size() != 6 || !mac->is_assignable()) {
      refuse(fmt::format("address {}: invalid MAC address", in_quotes(text)));
    }
    return mac;
  };
  for (const json::Reader& key : {conf["runtimeConfig"]["mac"], conf["args"]["cni"]["mac"]}) {
    const auto mac = check(key.string_or(""), [&](const auto& problem) { key.refuse(problem); });
    if (mac) return mac;
  }
  return check(args.find("MAC").value_or(""), [](const std::string& problem) {
    throw Error(Code::kInvalidConfig, fmt::format("ARGS: error parsing value of MAC: {}", problem));
  });
}

Args parse_args(const Request& request) {
  // They tell of an attachment; STATUS is about none.
  if (request.command == Command::kStatus) return {};
  constexpr std::array<std::string_view, 1> kKnown = {"MAC"};
  Args args = Args::parse(request.environment.args);
  args.require_known(kKnown);
  return args;
}

}  // namespace

Config parse_config(const Request& request) {
  const NetConf& conf = request.conf;
  const Vlans vlans = parse_vlans(conf);
  const Args args = parse_args(request);

  Config config{
      .bridge = parse_bridge_name(conf["bridge"]),
      .is_gateway = conf["isGateway"].bool_or(false),
      .is_default_gateway = conf["isDefaultGateway"].bool_or(false),
      .force_address = conf["forceAddress"].bool_or(false),
      .mtu = attachment::parse_mtu(conf),
      .hairpin = conf["hairpinMode"].bool_or(false),
      .promiscuous = conf["promiscMode"].bool_or(false),
      .port_isolation = conf["portIsolation"].bool_or(false),
      .mac_spoof_check = conf["macspoofchk"].bool_or(false),
      .detect_duplicates = conf["enabledad"].bool_or(false),
      .container_interface = !conf["disableContainerInterface"].bool_or(false),
      .vlans = vlans.port,
      .preserve_default_vlan = conf["preserveDefaultVlan"].bool_or(false),
      .access_vlan = vlans.access,
      .vlan_filtering = vlans.filtering,
      .container_mac = parse_container_mac(conf, args),
      .masquerade = masquerade::parse_ip_masq(conf),
      .forward_accept = conf["forwardAccept"].bool_or(false),
      .dns = find_dns(conf["dns"]),
      .args = args,
  };
  config.is_gateway = config.is_gateway || config.is_default_gateway;

  if (config.hairpin && config.promiscuous) {
    conf["hairpinMode"].refuse("cannot set hairpin mode and promiscuous mode at the same time");
  }
  if (!config.container_interface && !conf["ipam"]["type"].string_or("").empty()) {
    conf["disableContainerInterface"].refuse(
        "cannot use IPAM when DisableContainerInterface flag is set");
  }
  if (config.is_gateway && config.access_vlan != 0 &&
      vlan_device_name(config.bridge, config.access_vlan).size() > kLongestLinkName) {
    conf["bridge"].refuse(fmt::format(
        "the name {} of the gateway device of the VLAN is longer than {} bytes",
        in_quotes(vlan_device_name(config.bridge, config.access_vlan)), kLongestLinkName));
  }
  return config;
}

std::vector<std::string> parse_gateway_links_for_cleanup(const Request& request) {
  std::vector<std::string> names;
  try {
    const std::string bridge = parse_bridge_name(request.conf["bridge"]);
    names.push_back(bridge);
    const std::uint16_t vlan = parse_vlan(request.conf["vlan"]);
    const std::string device = vlan_device_name(bridge, vlan);
    // Too long a name has no link.
    if (vlan != 0 && is_link_name(device)) names.push_back(device);
  } catch (const json::ValueError& error) {
    log::info("{}, ignoring", error.what());
  }
  return names;
}

std::string vlan_device_name(const std::string& bridge, std::uint16_t vlan) {
  return fmt::format("{}.{}", bridge, vlan);
}

}  // namespace cni::bridge
