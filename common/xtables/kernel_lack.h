// Why the kernel refused rules of the iptables dialect.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "nftables/objects.h"

namespace cni::xtables {

// A match or target of xtables, as a rule of the dialect asks for it.
struct NeededExtension {
  std::string name;
  std::uint32_t revision = 0;
  bool is_target = false;

  friend bool operator==(const NeededExtension&, const NeededExtension&) = default;
};

std::vector<NeededExtension> needed_extensions(const nftables::Rule& rule);

// What the kernel lacks of that which `rules` need, by the names of its modules, which are also
// those of its options; nothing if it has all. If it has none at all, nft_compat is named too.
std::optional<std::string> find_lack(const std::vector<nftables::Rule>& rules,
                                     const std::function<bool(const NeededExtension&)>& has);

}  // namespace cni::xtables
