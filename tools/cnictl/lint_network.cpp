// Values that have the right type and make no sense.
#include <fmt/format.h>

#include <algorithm>
#include <optional>

#include "base/text.h"
#include "inet/address.h"
#include "inet/network.h"
#include "lint_document.h"
#include "lint_keys.h"

namespace cni::cnictl {
namespace {

using inet::Address;
using inet::Network;

std::optional<Network> network_at(const json::Reader& object, const char* key) {
  return readable([&] { return object[key].find_network(); });
}

std::optional<Address> address_at(const json::Reader& object, const char* key) {
  return readable([&] { return object[key].find_address(); });
}

std::string text_at(const json::Reader& object, const char* key) {
  return readable([&] { return object[key].string_or(""); });
}

bool is_true(const json::Reader& object, const char* key) {
  return readable([&] { return object[key].bool_or(false); });
}

bool has(const json::Reader& object, const char* key) {
  return readable([&] { return object[key].present(); });
}

std::vector<json::Reader> elements_at(const json::Reader& object, const char* key) {
  return readable([&] { return object[key].elements(); });
}

std::string path_of(const json::Reader& object, const char* key) {
  return object.path().empty() ? std::string(key) : fmt::format("{}.{}", object.path(), key);
}

// What is given out of one range.
struct Span {
  Address first;
  Address last;
  std::string path;
};

// One of a range's addresses, which has to lie in its subnet.
void check_inside(const json::Reader& range, const char* key, const Network& subnet,
                  Findings& findings) {
  const auto address = address_at(range, key);
  if (address && !subnet.contains(*address)) {
    findings.error(path_of(range, key), fmt::format("{} is not in the subnet {}", address->text(),
                                                    subnet.masked().text()));
  }
}

std::optional<Span> check_range(const json::Reader& range, Findings& findings) {
  const auto subnet = network_at(range, "subnet");
  if (!subnet) return std::nullopt;
  const std::string path = path_of(range, "subnet");
  if (*subnet != subnet->masked()) {
    findings.error(path, fmt::format("{} has host bits set", subnet->text()),
                   fmt::format("write {}", in_quotes(subnet->masked().text())));
  }
  constexpr int kLeastHostBits = 2;
  if (subnet->address.width() - subnet->prefix_length < kLeastHostBits) {
    findings.error(path, fmt::format("{} is too small to allocate from", subnet->text()));
    return std::nullopt;
  }
  check_inside(range, "rangeStart", *subnet, findings);
  check_inside(range, "rangeEnd", *subnet, findings);
  const auto gateway = address_at(range, "gateway");
  if (gateway && !subnet->contains(*gateway)) {
    findings.warning(path_of(range, "gateway"),
                     fmt::format("{} is not in the subnet {}, so containers cannot reach it",
                                 gateway->text(), subnet->masked().text()));
  }
  const Span span{.first = address_at(range, "rangeStart").value_or(subnet->first().next()),
                  .last = address_at(range, "rangeEnd").value_or(subnet->last()),
                  .path = range.path()};
  if (span.first > span.last) {
    findings.error(path_of(range, "rangeEnd"), "the range ends before it starts");
    return std::nullopt;
  }
  return span;
}

void check_overlaps(const std::vector<Span>& spans, Findings& findings) {
  for (std::size_t one = 0; one < spans.size(); ++one) {
    for (std::size_t other = one + 1; other < spans.size(); ++other) {
      const bool apart =
          spans[one].last < spans[other].first || spans[other].last < spans[one].first;
      if (apart) continue;
      findings.error(spans[other].path, fmt::format("it overlaps with {}", spans[one].path));
    }
  }
}

void check_host_local(const json::Reader& plugin, const json::Reader& ipam, Findings& findings) {
  std::vector<Span> spans;
  const auto add = [&](const json::Reader& range) {
    if (const auto span = check_range(range, findings)) spans.push_back(*span);
  };
  if (has(ipam, "subnet")) add(ipam);
  for (const json::Reader& set : elements_at(ipam, "ranges")) {
    std::optional<inet::Family> family;
    const std::vector<json::Reader> ranges = readable([&] { return set.elements(); });
    if (set.present() && readable([&] { return set.value().is_array(); }) && ranges.empty()) {
      findings.error(set.path(), "the set of ranges is empty");
    }
    for (const json::Reader& range : ranges) {
      add(range);
      const auto subnet = network_at(range, "subnet");
      if (!subnet) continue;
      if (family && *family != subnet->family()) {
        findings.error(range.path(), "one set of ranges cannot mix IPv4 and IPv6",
                       "give each family a list of its own");
      }
      family = family.value_or(subnet->family());
    }
  }
  check_overlaps(spans, findings);
  const bool asks = readable([&] { return plugin["capabilities"]["ipRanges"].bool_or(false); });
  if (!has(ipam, "subnet") && elements_at(ipam, "ranges").empty() && !asks) {
    findings.error(ipam.path(), "there are no addresses to give out",
                   "add \"ranges\", \"subnet\" or the capability \"ipRanges\"");
  }
}

void check_static(const json::Reader& ipam, Findings& findings) {
  for (const json::Reader& entry : elements_at(ipam, "addresses")) {
    const auto address = network_at(entry, "address");
    const auto gateway = address_at(entry, "gateway");
    if (address && gateway && !address->contains(*gateway)) {
      findings.warning(path_of(entry, "gateway"), fmt::format("{} is not in the subnet of {}",
                                                              gateway->text(), address->text()));
    }
  }
}

void check_routes(const json::Reader& ipam, Findings& findings) {
  for (const json::Reader& route : elements_at(ipam, "routes")) {
    const auto destination = network_at(route, "dst");
    if (!destination) continue;
    if (*destination != destination->masked()) {
      findings.error(
          path_of(route, "dst"),
          fmt::format("{} has host bits set, which the kernel refuses", destination->text()),
          fmt::format("write {}", in_quotes(destination->masked().text())));
    }
    const auto gateway = address_at(route, "gw");
    if (gateway && gateway->family() != destination->family()) {
      findings.error(path_of(route, "gw"),
                     fmt::format("the destination is {}, the gateway is {}",
                                 inet::name(destination->family()), inet::name(gateway->family())));
    }
  }
}

void check_trunk(const json::Reader& plugin, Findings& findings) {
  for (const json::Reader& entry : elements_at(plugin, "vlanTrunk")) {
    const auto first = readable([&] { return entry["minID"].find_integer(); });
    const auto last = readable([&] { return entry["maxID"].find_integer(); });
    if (first.has_value() != last.has_value()) {
      findings.error(entry.path(), "minID and maxID go together only");
    } else if (first && *first > *last) {
      findings.error(path_of(entry, "minID"), fmt::format("it is above maxID, {}", *last));
    }
  }
}

void check_vlan_mode(const json::Reader& plugin, Findings& findings) {
  const std::string mode = text_at(plugin, "vlanMode");
  const auto require = [&](const char* key, bool wanted) {
    if (has(plugin, key) == wanted) return;
    findings.error(path_of(plugin, "vlanMode"),
                   fmt::format("mode {} {} \"{}\"", in_quotes(mode),
                               wanted ? "needs the key" : "does not go with the key", key));
  };
  if (mode != "access" && mode != "trunk" && mode != "hybrid") return;
  require("vlan", mode != "trunk");
  require("vlanTrunk", mode != "access");
}

void check_bridge(const json::Reader& plugin, Findings& findings) {
  const bool with_ipam = !readable([&] { return plugin["ipam"]["type"].string_or(""); }).empty();
  if (is_true(plugin, "hairpinMode") && is_true(plugin, "promiscMode")) {
    findings.error(path_of(plugin, "hairpinMode"),
                   "hairpinMode and promiscMode exclude each other");
  }
  if (is_true(plugin, "disableContainerInterface") && with_ipam) {
    findings.error(path_of(plugin, "disableContainerInterface"),
                   "an interface that stays down cannot get the addresses of ipam");
  }
  const bool masquerades = is_true(plugin, "ipMasq") || readable([&] {
                             const json::Reader key = plugin["ipMasq"];
                             return key.present() && key.value().is_object();
                           });
  if (masquerades && !with_ipam) {
    findings.warning(path_of(plugin, "ipMasq"), "without ipam there is nothing to masquerade");
  }
  if (has(plugin, "ipMasqBackend") && !masquerades) {
    findings.warning(path_of(plugin, "ipMasqBackend"), "it does nothing without \"ipMasq\": true");
  }
  check_trunk(plugin, findings);
  check_vlan_mode(plugin, findings);
}

void check_host_device(const json::Reader& plugin, Findings& findings) {
  const bool asks = readable([&] { return plugin["capabilities"]["deviceID"].bool_or(false); });
  for (const char* key : {"device", "hwaddr", "kernelpath", "pciBusID"}) {
    if (has(plugin, key)) return;
  }
  if (asks) return;
  findings.error(plugin.path(), "it does not say which device",
                 "add \"device\", \"hwaddr\", \"kernelpath\" or \"pciBusID\"");
}

void check_portmap(const json::Reader& plugin, Findings& findings) {
  if (has(plugin, "markMasqBit") && has(plugin, "externalSetMarkChain")) {
    findings.error(path_of(plugin, "externalSetMarkChain"),
                   "externalSetMarkChain and markMasqBit exclude each other");
  }
  const bool asks = readable([&] { return plugin["capabilities"]["portMappings"].bool_or(false); });
  if (!asks) {
    findings.warning(plugin.path(), "no port mapping will ever reach it",
                     R"(add "capabilities": {"portMappings": true})");
  }
}

void check_bandwidth(const json::Reader& plugin, Findings& findings) {
  for (const auto& [rate, burst] :
       {std::pair("ingressRate", "ingressBurst"), std::pair("egressRate", "egressBurst")}) {
    const auto set = [&](const char* key) {
      return readable([&] { return plugin[key].find_integer(); }).value_or(0) != 0;
    };
    if (set(rate) == set(burst)) continue;
    const char* given = set(rate) ? rate : burst;
    findings.error(path_of(plugin, given), fmt::format("{} and {} go together only", rate, burst));
  }
}

bool is_type(const std::string& type, std::string_view known) {
  const KnownPlugin* plugin = find_known_plugin(type);
  return plugin != nullptr && plugin == find_known_plugin(known);
}

}  // namespace

void lint_plugin_values(const json::Reader& plugin, Findings& findings) {
  const std::string type = text_at(plugin, "type");
  if (is_type(type, "bridge")) check_bridge(plugin, findings);
  if (is_type(type, "host-device")) check_host_device(plugin, findings);
  if (is_type(type, "portmap")) check_portmap(plugin, findings);
  if (is_type(type, "bandwidth")) check_bandwidth(plugin, findings);

  const json::Reader ipam = plugin["ipam"];
  if (!ipam.present() || !ipam.value().is_object()) return;
  const std::string ipam_type = text_at(ipam, "type");
  if (is_type(ipam_type, "host-local")) check_host_local(plugin, ipam, findings);
  if (is_type(ipam_type, "static")) check_static(ipam, findings);
  check_routes(ipam, findings);
}

}  // namespace cni::cnictl
