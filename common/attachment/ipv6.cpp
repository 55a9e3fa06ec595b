#include "attachment/ipv6.h"

#include <fmt/format.h>

#include "base/error.h"
#include "netns/sysctl.h"
#include "protocol/error.h"

namespace cni::attachment {

void enable_ipv6(const std::string& link) {
  const std::string sysctl = fmt::format("net/ipv6/conf/{}/disable_ipv6", link);
  if (!netns::find_sysctl(sysctl)) {
    throw Error(Code::kInternal,
                fmt::format("cannot use IPv6 addresses on \"{}\": this kernel runs without IPv6 "
                            "(there is no sysctl {}; see the boot parameter ipv6.disable)",
                            link, sysctl));
  }
  try {
    netns::ensure_sysctl(sysctl, "0");
  } catch (const SystemError& error) {
    throw Error(Code::kInternal,
                fmt::format("cannot use IPv6 addresses on \"{}\", where IPv6 is off: {}", link,
                            error.what()));
  }
}

void refuse_router_advertisements(const std::string& link) {
  const std::string sysctl = fmt::format("net/ipv6/conf/{}/accept_ra", link);
  if (netns::find_sysctl(sysctl)) netns::ensure_sysctl(sysctl, "0");
}

}  // namespace cni::attachment
