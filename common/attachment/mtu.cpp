#include "attachment/mtu.h"

#include <fmt/format.h>

#include "netlink/link.h"
#include "netlink/route.h"
#include "protocol/error.h"

namespace cni::attachment {
namespace {

constexpr std::int64_t kLargestMtu = 65535;
constexpr std::uint32_t kSmallestMtu = 68;  // RFC 791: what every IPv4 link takes
constexpr const char* kNoDefaultRoute =
    "key \"mtu\" is \"auto\" and this host has no default route to take the MTU from; add one or "
    "set a number";

std::uint32_t parse_number(const json::Reader& key) {
  return static_cast<std::uint32_t>(key.find_integer(0, kLargestMtu).value_or(0));
}

}  // namespace

MtuSetting parse_mtu(const NetConf& conf) {
  const json::Reader mtu = conf["mtu"];
  MtuSetting setting;
  setting.automatic = mtu.present() && mtu.value().is_string() && mtu.string_or("") == "auto";
  if (!setting.automatic) {
    const std::uint32_t number = parse_number(mtu);
    if (number != 0) setting.number = number;
  }
  setting.overhead = parse_number(conf["mtuOverhead"]);
  return setting;
}

std::optional<std::uint32_t> resolve_mtu(netlink::Socket& host, const MtuSetting& setting) {
  if (!setting.automatic) return setting.number;
  const std::optional<int> uplink = netlink::default_route_link(host);
  if (!uplink) throw Error(Code::kTryAgainLater, kNoDefaultRoute);
  const std::uint32_t mtu = netlink::get_link(host, *uplink).mtu;
  if (mtu < setting.overhead + kSmallestMtu) {
    throw Error(Code::kInvalidConfig,
                fmt::format("key \"mtuOverhead\" is {}, which leaves nothing of the MTU {} of the "
                            "default route's device",
                            setting.overhead, mtu));
  }
  return mtu - setting.overhead;
}

std::optional<std::string> find_mtu_obstacle(netlink::Socket& host, const MtuSetting& setting) {
  if (setting.automatic && !netlink::default_route_link(host)) return kNoDefaultRoute;
  return std::nullopt;
}

}  // namespace cni::attachment
