#include "protocol/result_versions.h"

#include <algorithm>
#include <iterator>
#include <limits>

#include "protocol/error.h"

namespace cni {
namespace {

using json::Value;

const IpConfig* first_of(const Result& result, inet::Family family) {
  const auto found =
      std::ranges::find(result.ips, family, [](const IpConfig& ip) { return ip.address.family(); });
  return found == result.ips.end() ? nullptr : &*found;
}

Value render_interface(const Interface& interface, ResultFamily family) {
  Value document = Value::object();
  document["name"] = interface.name;
  if (!interface.mac.empty()) document["mac"] = interface.mac;
  if (family == ResultFamily::kIps && interface.mtu) document["mtu"] = *interface.mtu;
  if (!interface.sandbox.empty()) document["sandbox"] = interface.sandbox;
  if (family == ResultFamily::kIps && !interface.socket_path.empty()) {
    document["socketPath"] = interface.socket_path;
  }
  if (family == ResultFamily::kIps && !interface.pci_id.empty()) {
    document["pciID"] = interface.pci_id;
  }
  return document;
}

Value render_ip(const IpConfig& ip, ResultFamily family) {
  Value document = Value::object();
  if (family == ResultFamily::kVersionedIps) {
    document["version"] = ip.address.family() == inet::Family::kIpv4 ? "4" : "6";
  }
  if (ip.interface) document["interface"] = *ip.interface;
  document["address"] = ip.address.text();
  if (ip.gateway) document["gateway"] = ip.gateway->text();
  return document;
}

Value render_route(const Route& route, ResultFamily family) {
  Value document = Value::object();
  document["dst"] = route.destination.text();
  if (route.gateway) document["gw"] = route.gateway->text();
  if (family == ResultFamily::kIp4Ip6) return document;
  if (route.mtu) document["mtu"] = *route.mtu;
  if (route.advmss) document["advmss"] = *route.advmss;
  if (route.priority) document["priority"] = *route.priority;
  if (route.table) document["table"] = *route.table;
  if (route.scope) document["scope"] = *route.scope;
  return document;
}

Value render_dns(const Dns& dns) {
  Value document = Value::object();
  if (!dns.nameservers.empty()) document["nameservers"] = dns.nameservers;
  if (!dns.domain.empty()) document["domain"] = dns.domain;
  if (!dns.search.empty()) document["search"] = dns.search;
  if (!dns.options.empty()) document["options"] = dns.options;
  return document;
}

Value render_ip_block(const Result& result, const IpConfig& ip) {
  Value document = Value::object();
  document["ip"] = ip.address.text();
  if (ip.gateway) document["gateway"] = ip.gateway->text();
  Value routes = Value::array();
  for (const Route& route : result.routes) {
    if (route.destination.family() != ip.address.family()) continue;
    routes.push_back(render_route(route, ResultFamily::kIp4Ip6));
  }
  if (!routes.empty()) document["routes"] = std::move(routes);
  return document;
}

void render_ip_blocks(const Result& result, Value& document) {
  const IpConfig* ip4 = first_of(result, inet::Family::kIpv4);
  const IpConfig* ip6 = first_of(result, inet::Family::kIpv6);
  if (ip4 == nullptr && ip6 == nullptr) {
    throw Error(Code::kInternal, "cannot convert: no valid IP addresses");
  }
  if (ip4 != nullptr) document["ip4"] = render_ip_block(result, *ip4);
  if (ip6 != nullptr) document["ip6"] = render_ip_block(result, *ip6);
}

template <typename Items, typename Render>
void render_list(Value& document, const char* key, const Items& items, Render render) {
  if (items.empty()) return;
  Value list = Value::array();
  for (const auto& item : items) list.push_back(render(item));
  document[key] = std::move(list);
}

// Zero means "not said".
std::optional<std::uint32_t> parse_mtu(const json::Reader& key) {
  const auto mtu = key.find_integer(0, std::numeric_limits<std::uint32_t>::max());
  if (!mtu || *mtu == 0) return std::nullopt;
  return static_cast<std::uint32_t>(*mtu);
}

Interface parse_interface(const json::Reader& document) {
  return {
      .name = document["name"].string_or(""),
      .mac = document["mac"].string_or(""),
      .mtu = parse_mtu(document["mtu"]),
      .sandbox = document["sandbox"].string_or(""),
      .socket_path = document["socketPath"].string_or(""),
      .pci_id = document["pciID"].string_or(""),
  };
}

IpConfig parse_ip(const json::Reader& document, const char* address_key) {
  const auto address = document[address_key].find_network();
  if (!address) document[address_key].refuse("an address is missing");
  return {.address = *address, .gateway = document["gateway"].find_address()};
}

// Indexes come with the interfaces they point to. Some plugins in the field write -1 for "none".
std::optional<std::size_t> parse_interface_index(const json::Reader& index, std::size_t count) {
  const auto number = index.find_integer();
  if (!number || *number == -1) return std::nullopt;
  if (*number < 0 || std::cmp_greater_equal(*number, count)) {
    index.refuse("invalid interface index");
  }
  return static_cast<std::size_t>(*number);
}

Result parse_ip_blocks(const json::Reader& document) {
  Result result;
  for (const char* block : {"ip4", "ip6"}) {
    const json::Reader reader = document[block];
    if (!reader.present()) continue;
    result.ips.push_back(parse_ip(reader, "ip"));
    std::ranges::copy(parse_routes(reader["routes"]), std::back_inserter(result.routes));
  }
  return result;
}

}  // namespace

Value render_result(const Result& result, Version version) {
  const ResultFamily family = result_family(version);
  Value document = Value::object();
  document["cniVersion"] = text(version);
  if (family == ResultFamily::kIp4Ip6) {
    render_ip_blocks(result, document);
  } else {
    render_list(document, "interfaces", result.interfaces,
                [&](const Interface& interface) { return render_interface(interface, family); });
    render_list(document, "ips", result.ips,
                [&](const IpConfig& ip) { return render_ip(ip, family); });
    render_list(document, "routes", result.routes,
                [&](const Route& route) { return render_route(route, family); });
  }
  // Below 1.0.0 readers expect the object even if there is nothing in it.
  if (family != ResultFamily::kIps || !result.dns.empty()) document["dns"] = render_dns(result.dns);
  return document;
}

Result parse_result(const json::Reader& document, Version version) {
  Result result;
  if (result_family(version) == ResultFamily::kIp4Ip6) {
    result = parse_ip_blocks(document);
  } else {
    for (const json::Reader& interface : document["interfaces"].elements()) {
      result.interfaces.push_back(parse_interface(interface));
    }
    for (const json::Reader& ip : document["ips"].elements()) {
      result.ips.push_back(parse_ip(ip, "address"));
      result.ips.back().interface =
          parse_interface_index(ip["interface"], result.interfaces.size());
    }
    result.routes = parse_routes(document["routes"]);
  }
  result.dns = parse_dns(document["dns"]);
  return result;
}

}  // namespace cni
