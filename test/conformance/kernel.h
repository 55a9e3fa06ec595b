// Links, addresses and routes of the network namespace of the calling thread.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace conformance::kernel {

struct Link {
  int index = 0;
  std::string name, kind, mac;
  bool up = false;
  unsigned mtu = 0;
  int master = 0;  // index; 0 is none
};

struct Address {
  int link = 0;
  std::string text;  // with prefix, "10.1.2.3/24"
  bool link_local = false;
};

struct Route {
  int link = 0;
  std::string destination = {};  // with prefix, "0.0.0.0/0"
  std::string gateway = {};      // empty if none
  unsigned table = 0, priority = 0, mtu = 0, advmss = 0;
};

std::vector<Link> links();
std::vector<Address> addresses();
// Of all tables but the local one, without those the kernel makes for fe80::/10 and multicast.
std::vector<Route> routes();

std::optional<Link> find_link(const std::string& name);
std::vector<std::string> addresses_of(const std::string& link);  // without link-local ones

// All throw std::system_error.
// A pair of which `peer` is in the namespace at `peer_netns`; both down.
void add_veth(const std::string& name, const std::string& peer, const std::string& peer_netns);
void add_bridge(const std::string& name);
void set_up(const std::string& name, bool up);
void set_mac(const std::string& name, const std::string& mac);
void delete_link(const std::string& name);
void add_address(const std::string& link, const std::string& address);
void delete_address(const std::string& link, const std::string& address);
// Of its members `link` counts for nothing; table 0 is the main one.
void add_route(const std::string& link, Route route);
void delete_route(const Route& route);
// A tap device that lives without a process.
void add_tap(const std::string& name);

}  // namespace conformance::kernel
