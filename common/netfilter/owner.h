// Whose rules and elements are.
#pragma once

#include <string>

namespace cni::netfilter {

// An attachment. Container and interface alone tell it from others; its network may get another
// name.
struct Owner {
  std::string network;
  std::string container_id;
  std::string ifname;

  friend bool operator==(const Owner&, const Owner&) = default;
};

// Both are the same attachment, whatever the network is called.
inline bool same_attachment(const Owner& one, const Owner& other) {
  return one.container_id == other.container_id && one.ifname == other.ifname;
}

}  // namespace cni::netfilter
