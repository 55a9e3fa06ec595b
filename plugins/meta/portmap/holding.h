// What one attachment has of the host's ports, in one family; as it is written down in the table of
// host ports, for whatever store its rules are in.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "config.h"
#include "inet/network.h"
#include "mapping.h"
#include "netfilter/choose_store.h"
#include "netfilter/native_table.h"
#include "netfilter/owner.h"
#include "netns/holders.h"

namespace cni::portmap {

// What a packet has to pass before a mapping applies.
struct Gate {
  std::vector<std::string> conditions = {};  // words of the configuration
  Sources sources = {};                      // of one family

  friend bool operator==(const Gate&, const Gate&) = default;
};

// Whose packets to the container get an address of the host as source, so that answers come back
// through the host.
enum class Masquerade {
  kNone,
  kNear,  // those of the container's own network, and of localhost
  kAll,
};

// route_localnet of the interface to the container.
struct Localnet {
  std::string interface;
  bool reset;  // it was off before the first attachment came

  friend bool operator==(const Localnet&, const Localnet&) = default;
};

struct Holding {
  netfilter::Owner owner;
  netfilter::StoreChoice store;
  inet::Network address;  // of the container, with the prefix length of its network
  Masquerade masquerade;
  std::vector<Run> runs = {};     // in force
  std::vector<Run> waiting = {};  // until those who have them are gone
  std::uint64_t turn = 0;         // of those who wait, the lowest comes first
  std::vector<Gate> gates = {};
  std::string chain = {};  // in the stores of xtables rules
  std::optional<Localnet> localnet = std::nullopt;
  // Its DEL or GC could not remove everything; what is left is still here, for the next one.
  bool ended = false;
  // To tell whether it is alive.
  std::string pod = {};
  std::string netns_path = {};
  std::optional<netns::NetnsId> netns = std::nullopt;

  inet::Family family() const { return address.family(); }

  friend bool operator==(const Holding&, const Holding&) = default;
};

// Only if the configuration has an address of `family`. All runs are in force; nothing is known of
// localnet yet.
Holding wanted_holding(const Request& request, const Config& config, netfilter::StoreChoice store,
                       inet::Family family);

json::Value render(const Holding& holding);
// Nothing if it is none that this code wrote.
std::optional<Holding> parse_holding(const netfilter::Record& record);

// That of an attachment; nullptr if it has none. Valid as long as the list is.
const Holding* find_holding(const std::vector<Holding>& holdings, const netfilter::Owner& owner);

// "container c1 (network "net1", interface eth0, pod default/web)"
std::string describe(const Holding& holding);

}  // namespace cni::portmap
