// The configuration of the bridge plugin, valid by construction.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "attachment/mtu.h"
#include "inet/mac.h"
#include "masquerade/config.h"
#include "netlink/bridge_vlan.h"
#include "protocol/args.h"
#include "protocol/request.h"
#include "protocol/result.h"

namespace cni::bridge {

struct Config {
  std::string bridge;
  bool is_gateway;
  bool is_default_gateway;
  bool force_address;
  attachment::MtuSetting mtu;
  bool hairpin;
  bool promiscuous;
  bool port_isolation;
  bool mac_spoof_check;
  bool detect_duplicates;
  bool container_interface;  // set it up

  // What a port gets, ascending; empty if the configuration has no VLAN key. Keeps what the kernel
  // gives each port by default if `preserve_default_vlan`.
  std::vector<netlink::PortVlan> vlans;
  bool preserve_default_vlan;
  // The VLAN of untagged frames of the container, which has the gateway; 0 for none.
  std::uint16_t access_vlan;
  // The bridge has to tell VLANs apart.
  bool vlan_filtering;

  std::optional<inet::Mac> container_mac;
  // What the container sends out of its subnet gets an address of the host. With IPAM only.
  std::optional<masquerade::Config> masquerade;
  // Where the host drops by policy, what it forwards for the container is accepted.
  bool forward_accept;
  // Replaces that of IPAM if there is any of its keys.
  std::optional<Dns> dns;
  Args args;
};

// For ADD, CHECK and STATUS. Throws json::ValueError or Error 2 or 7.
Config parse_config(const Request& request);

// The links that may have had the gateway addresses: the bridge and the device of the access VLAN.
// For DEL, which has to work with whatever the configuration says: what cannot be read is left out.
std::vector<std::string> parse_gateway_links_for_cleanup(const Request& request);

// The name of the device that has the gateway addresses of a VLAN: "<bridge>.<vlan>".
std::string vlan_device_name(const std::string& bridge, std::uint16_t vlan);

}  // namespace cni::bridge
