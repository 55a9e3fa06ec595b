#include "config.h"

namespace cni::veth {

Config parse_config(const Request& request) {
  const NetConf& conf = request.conf;
  return {.mtu = attachment::parse_mtu(conf),
          .masquerade = masquerade::parse_ip_masq(conf),
          .forward_accept = conf["forwardAccept"].bool_or(false),
          .dns = find_dns(conf["dns"]),
          .args = Args::parse_leniently(request.environment.args)};
}

}  // namespace cni::veth
