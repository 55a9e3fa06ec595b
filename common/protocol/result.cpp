#include "protocol/result.h"

#include <limits>

namespace cni {
namespace {

std::optional<std::uint32_t> find_u32(const json::Reader& value) {
  const auto number = value.find_integer(0, std::numeric_limits<std::uint32_t>::max());
  if (!number) return std::nullopt;
  return static_cast<std::uint32_t>(*number);
}

// Zero means "not set" for these.
std::optional<std::uint32_t> find_nonzero_u32(const json::Reader& value) {
  const auto number = find_u32(value);
  return number == 0U ? std::nullopt : number;
}

}  // namespace

bool Dns::empty() const {
  return nameservers.empty() && domain.empty() && search.empty() && options.empty();
}

Result appended(Result previous, const Result& own) {
  const std::size_t before = previous.interfaces.size();
  previous.interfaces.insert(previous.interfaces.end(), own.interfaces.begin(),
                             own.interfaces.end());
  for (IpConfig ip : own.ips) {
    if (ip.interface) *ip.interface += before;
    previous.ips.push_back(ip);
  }
  previous.routes.insert(previous.routes.end(), own.routes.begin(), own.routes.end());
  if (!own.dns.empty()) previous.dns = own.dns;
  return previous;
}

Route parse_route(const json::Reader& route) {
  const auto destination = route["dst"].find_network();
  if (!destination) route["dst"].refuse("a route needs a destination");
  const auto scope = route["scope"].find_integer(0, 255);
  return {
      .destination = *destination,
      .gateway = route["gw"].find_address(),
      .mtu = find_nonzero_u32(route["mtu"]),
      .advmss = find_nonzero_u32(route["advmss"]),
      .priority = find_nonzero_u32(route["priority"]),
      .table = find_u32(route["table"]),
      .scope = scope ? std::optional(static_cast<std::uint8_t>(*scope)) : std::nullopt,
  };
}

std::vector<Route> parse_routes(const json::Reader& routes) {
  std::vector<Route> parsed;
  for (const json::Reader& route : routes.elements()) parsed.push_back(parse_route(route));
  return parsed;
}

Dns parse_dns(const json::Reader& dns) {
  return {
      .nameservers = dns["nameservers"].strings(),
      .domain = dns["domain"].string_or(""),
      .search = dns["search"].strings(),
      .options = dns["options"].strings(),
  };
}

std::optional<Dns> find_dns(const json::Reader& dns) {
  const bool given = dns["nameservers"].present() || dns["search"].present() ||
                     dns["options"].present() || !dns["domain"].string_or("").empty();
  if (!given) return std::nullopt;
  return parse_dns(dns);
}

}  // namespace cni
