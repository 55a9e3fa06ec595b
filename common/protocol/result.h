// The result of an ADD, in the shape of the newest spec version. result_versions.h converts.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "inet/address.h"
#include "inet/network.h"
#include "json/reader.h"
#include "json/value.h"

namespace cni {

struct Interface {
  std::string name;
  std::string mac = {};                   // lower case, "" if it has none
  std::optional<std::uint32_t> mtu = {};  // bytes
  std::string sandbox = {};               // CNI_NETNS as given, "" on the host
  std::string socket_path = {};
  std::string pci_id = {};
};

struct IpConfig {
  inet::Network address;  // host bits kept
  std::optional<inet::Address> gateway = {};
  std::optional<std::size_t> interface = {};  // index into Result::interfaces
};

// Route attributes have the meaning and the units of rtnetlink(7).
struct Route {
  inet::Network destination;
  std::optional<inet::Address> gateway = {};
  std::optional<std::uint32_t> mtu = {};       // bytes
  std::optional<std::uint32_t> advmss = {};    // bytes
  std::optional<std::uint32_t> priority = {};  // lower wins
  std::optional<std::uint32_t> table = {};
  std::optional<std::uint8_t> scope = {};  // 0 global, 253 link, 254 host

  friend bool operator==(const Route&, const Route&) = default;
};

struct Dns {
  std::vector<std::string> nameservers = {};
  std::string domain = {};
  std::vector<std::string> search = {};
  std::vector<std::string> options = {};

  bool empty() const;
};

struct Result {
  std::vector<Interface> interfaces = {};
  std::vector<IpConfig> ips = {};
  std::vector<Route> routes = {};
  Dns dns = {};
};

// What a chain has once a plugin that made `own` follows one that gave `previous`: both, with the
// indexes of both right, and the DNS of the later one if it says any.
Result appended(Result previous, const Result& own);

// The pieces that configurations and results share. Each throws json::ValueError.
Route parse_route(const json::Reader& route);
std::vector<Route> parse_routes(const json::Reader& routes);
Dns parse_dns(const json::Reader& dns);
// The same; nothing if none of the keys is there. An empty list counts: it says that there shall
// be none.
std::optional<Dns> find_dns(const json::Reader& dns);

}  // namespace cni
