// Which of the three places for rules is used on this host.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "inet/address.h"
#include "xtables/table.h"

namespace cni::netfilter {

// What a configuration asks for.
enum class Backend { kAuto, kNftables, kIptables };

enum class StoreChoice { kNative, kDialect, kLegacy };

// Looks at the kernel only and changes nothing: legacy tables are opened only if they are in use
// already (/proc/net/ip_tables_names, ip6_tables_names).
//
// `mark_chain` is a chain of table nat that the configuration names; the store that has it is
// taken. Throws SystemError that names the missing kernel features if nothing works.
StoreChoice choose_store(Backend backend, const std::optional<std::string>& mark_chain = {});

// The stores of xtables rules that exist on this host, for what was left in them.
std::vector<std::unique_ptr<xtables::Store>> existing_xtables_stores();

std::unique_ptr<xtables::Store> open_xtables_store(StoreChoice choice);

}  // namespace cni::netfilter
