#include "config.h"

#include "protocol/error.h"

namespace cni::veth {
namespace {

// A key of the suite that this plugin does not serve yet must not pass unnoticed.
void refuse_unsupported(const NetConf& conf) {
  if (conf["ipMasq"].bool_or(false)) {
    throw Error(Code::kUnsupportedField,
                "key \"ipMasq\" is true, which this veth plugin does not support");
  }
}

}  // namespace

Config parse_config(const Request& request) {
  const NetConf& conf = request.conf;
  refuse_unsupported(conf);
  return {.mtu = attachment::parse_mtu(conf),
          .dns = find_dns(conf["dns"]),
          .args = Args::parse_leniently(request.environment.args)};
}

}  // namespace cni::veth
