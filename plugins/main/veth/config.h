// The configuration of the veth plugin, valid by construction.
#pragma once

#include <optional>

#include "attachment/mtu.h"
#include "masquerade/config.h"
#include "protocol/args.h"
#include "protocol/request.h"
#include "protocol/result.h"

namespace cni::veth {

struct Config {
  attachment::MtuSetting mtu;
  // Nothing: no masquerading.
  std::optional<masquerade::Config> masquerade;
  // Where the host drops by policy, what it forwards for the container is accepted.
  bool forward_accept;
  // Replaces that of IPAM if there is any of its keys.
  std::optional<Dns> dns;
  // For the name of the pod only: this plugin takes nothing from CNI_ARGS.
  Args args;
};

// For ADD, CHECK and STATUS. Throws json::ValueError.
Config parse_config(const Request& request);

}  // namespace cni::veth
