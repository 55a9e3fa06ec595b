// The configuration, and the routes that follow from what IPAM gave (here: prevResult).

#include "fuzz/input.h"
#include "fuzz/oracle.h"
#include "fuzz/targets.h"
#include "veth/config.h"
#include "veth/routing.h"

namespace cni::fuzz {
namespace {

void check_routes(Result result) {
  if (!accepts([&] { veth::complete_gateways(result); }, {Code::kInternal})) return;
  netlink::Link link;
  link.index = 2;
  for (const IpConfig& ip : result.ips) {
    require(ip.gateway && ip.gateway->family() == ip.address.family(), "there is a gateway");
    require(*ip.gateway != ip.address.address, "a container is not its own gateway");
  }
  require(veth::host_routes(result, link).size() == result.ips.size(),
          "the host reaches every address");
  for (const netlink::Route& route : veth::container_routes(result, link)) {
    require(route.link_index == link.index, "a route goes through the link");
  }
  veth::gateway_addresses(result);
}

}  // namespace

void veth_config(std::string_view input) {
  const auto parse = [&] {
    const Request request = request_of(input);
    require_sound(request);
    veth::parse_config(request);
    if (auto ipam = request.conf.find_prev_result()) check_routes(*std::move(ipam));
  };
  accepts(parse, kConfigCodes);
}

}  // namespace cni::fuzz
