#include "attachment/ipv6.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>

#include "base/deadline.h"
#include "base/error.h"
#include "netlink/route.h"
#include "netns/sysctl.h"
#include "protocol/error.h"

namespace cni::attachment {

void enable_ipv6(const std::string& link) {
  const std::string sysctl = fmt::format("net/ipv6/conf/{}/disable_ipv6", link);
  const auto value = netns::find_sysctl(sysctl);
  if (!value) {
    throw Error(Code::kInternal,
                fmt::format("cannot use IPv6 addresses on \"{}\": this kernel runs without IPv6 "
                            "(there is no sysctl {}; see the boot parameter ipv6.disable)",
                            link, sysctl));
  }
  try {
    if (*value != "0") netns::set_sysctl(sysctl, "0");
  } catch (const SystemError& error) {
    throw Error(Code::kInternal,
                fmt::format("cannot use IPv6 addresses on \"{}\", where IPv6 is off: {}", link,
                            error.what()));
  }
}

void refuse_router_advertisements(const std::string& link) {
  const std::string sysctl = fmt::format("net/ipv6/conf/{}/accept_ra", link);
  const auto value = netns::find_sysctl(sysctl);
  if (value && *value != "0") netns::set_sysctl(sysctl, "0");
}

void wait_until_answering(netlink::Socket& socket, const netlink::Link& link,
                          const std::vector<inet::Network>& addresses, netlink::LinkWatch& watch) {
  constexpr std::chrono::milliseconds kLimit{5000};
  std::string missing;
  const auto is_answering = [&](const inet::Network& network) {
    const bool yes =
        network.family() == inet::Family::kIpv4 || netlink::is_local(socket, network.address);
    if (!yes) missing = network.address.text();
    return yes;
  };
  const auto reached = [&] {
    // The work queue tells the news of an address first and adds its local route then, both under
    // the lock that this request waits for (addrconf_dad_completed() in net/ipv6/addrconf.c). The
    // multicast group, at which neighbours ask, was joined before.
    netlink::get_link(socket, link.index);
    return std::ranges::all_of(addresses, is_answering);
  };
  if (watch.wait_until(reached, Deadline::in(kLimit))) return;
  throw Error(Code::kInternal, fmt::format("failed to settle addresses for \"{}\": {} does not "
                                           "work after {} ms",
                                           link.name, missing, kLimit.count()));
}

}  // namespace cni::attachment
