// One rule as the legacy tables of the kernel hold it: struct ipt_entry or ip6t_entry, the structs
// of its matches, and that of its target (linux/netfilter_ipv4/ip_tables.h, ip6_tables.h).
#pragma once

#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "inet/address.h"
#include "xtables/rule.h"
#include "xtables/table.h"

namespace cni::xtables {

struct LegacyRule {
  std::vector<std::byte> entry;
  // What the kernel has to have for it.
  std::vector<std::string> extensions;
};

// `rule` has gone through require_valid(). Verdicts and jumps have their names where an extension
// has its own: libiptc makes numbers of them.
LegacyRule encode_legacy(inet::Family family, const Rule& rule);

// An entry that contradicts itself is one that nobody understands.
// `verdict` is what libiptc calls the target of the entry; nothing if that is an extension.
StoredRule decode_legacy(inet::Family family, std::span<const std::byte> entry,
                         std::optional<Target> verdict);

}  // namespace cni::xtables
