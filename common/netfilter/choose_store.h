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

// Changes nothing: legacy tables are opened only if they are in use already
// (/proc/net/ip_tables_names, ip6_tables_names), and no program is run.
//
// kAuto takes, in this order, the store
//   - that has `mark_chain`, a chain of table nat that the configuration names;
//   - in which there are chains of attachments by the reference suite, or of ours in its manner,
//     CNI-HOSTPORT-DNAT, CNI-FORWARD, or one of ipMasq that POSTROUTING jumps to: the dialect if
//     there are in both;
//   - of our own tables, if the kernel has nf_tables;
//   - of the legacy tables.
// kIptables takes the store that the host's iptables works on: the first two as above, then the one
// with a chain by which kubelet shows its choice, then what the file `iptables` in PATH, /usr/sbin
// or /sbin is called behind its links, and without such a file the first that works, dialect or
// legacy.
//
// Throws SystemError that names the missing kernel features if nothing works.
StoreChoice choose_store(Backend backend, const std::optional<std::string>& mark_chain = {});

// An empty chain of table filter, by which forwardAccept notes that "CNI-FORWARD" beside it was
// made by us: that one is then no sign of the reference suite.
inline constexpr std::string_view kOwnForwardMark = "CNI-PLUMB-FORWARD";

// Throws SystemError if this process has no access to the store, as far as that can be found
// without a change. choose_store() opens only what it looks into.
void require_access(StoreChoice choice);

// The stores of xtables rules that exist on this host, for what was left in them.
std::vector<std::unique_ptr<xtables::Store>> existing_xtables_stores();

std::unique_ptr<xtables::Store> open_xtables_store(StoreChoice choice);

}  // namespace cni::netfilter
