#include "attachment/forwarding.h"

#include <fmt/format.h>

#include "netns/sysctl.h"

namespace cni::attachment {
namespace {

const char* forwarding_sysctl(inet::Family family) {
  return family == inet::Family::kIpv4 ? "net/ipv4/ip_forward" : "net/ipv6/conf/all/forwarding";
}

}  // namespace

void enable_forwarding(inet::Family family) {
  netns::ensure_sysctl(forwarding_sysctl(family), "1");
}

void check_forwarding(inet::Family family, Differences& differences) {
  const char* sysctl = forwarding_sysctl(family);
  if (netns::find_sysctl(sysctl) == "0") {
    differences.add(fmt::format("sysctl {} is 0, not 1", sysctl));
  }
}

}  // namespace cni::attachment
