// The lists in conf-examples/, and what is particular to each.
#pragma once

#include <functional>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "support/two_namespaces.h"

namespace cni::test {

inline const std::string kExamples = CNI_SOURCE_DIRECTORY "/conf-examples";

// Two containers in a network, with the results of their ADDs.
struct Pair {
  Host& host;
  const std::vector<Namespace*> containers;
  std::vector<nlohmann::json> results;

  // Of container `index`, without prefix lengths.
  std::vector<std::string> addresses(std::size_t index) const;
};

struct Example {
  std::string file;
  std::string network;
  // Devices of the host that stay, since the next container needs them too.
  std::vector<std::string> shared;
  std::string ifname = "eth0";
  // CAP_ARGS and CNI_ARGS of each container.
  std::vector<std::string> cap_args = {"", ""};
  std::vector<std::string> args = {"", ""};
  // How many addresses each container gets.
  std::size_t addresses = 1;
  // Before the first ADD.
  std::function<void(Host& host)> prepare = {};
  // With both attached; adds what is particular to this list. Whatever it makes in the containers
  // it removes.
  std::function<void(const Pair& pair)> look = {};
};

// Each container and the host reach every address.
void check_reach(const Pair& pair);

// All of them. Those with VLANs need a kernel that filters them.
std::vector<Example> plain_examples();
std::vector<Example> vlan_examples();

}  // namespace cni::test
