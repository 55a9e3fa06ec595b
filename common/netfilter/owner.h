// Whose rules and elements are.
#pragma once

#include <string>

namespace cni::netfilter {

struct Owner {
  std::string network;
  std::string container_id;
  std::string ifname;

  friend bool operator==(const Owner&, const Owner&) = default;
};

}  // namespace cni::netfilter
