// The plugins that lint knows, as a table: their keys, capabilities and place in a chain.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "lint_shape.h"

namespace cni::cnictl {

enum class Role {
  kInterface,  // makes an interface; may come first
  kChained,    // changes what a plugin before it made
  kIpam,       // called by other plugins only
};

enum class IpamUse { kNone, kOptional, kRequired };

struct KnownPlugin {
  std::vector<std::string> types;  // names of its executable
  Role role;
  IpamUse ipam;
  std::vector<Key> keys;  // beside the common ones; of an IPAM plugin, those in "ipam"
  std::vector<std::string> capabilities;  // what it does something with, its IPAM plugin apart
};

// nullptr for a type that is not in the table.
const KnownPlugin* find_known_plugin(std::string_view type);
std::vector<std::string> known_types();

// Objects that stand in several places.
Shape dns();
Shape bandwidth_keys();

// The keys that every plugin object may have.
const std::vector<Key>& common_keys();
// The keys of a list.
const Shape& list_shape();
// CNI CONVENTIONS document: capabilities that runtimes have data for.
const std::vector<std::string>& known_capabilities();

}  // namespace cni::cnictl
