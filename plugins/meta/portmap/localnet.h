// route_localnet (ip-sysctl): lets packets from 127.0.0.0/8 leave through an interface, for
// localhost:hostPort. Whoever turns it on has to keep out what comes in to these addresses.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "inet/address.h"

namespace cni::portmap {

// The interface through which this host reaches an address.
std::optional<std::string> find_interface_to(const inet::Address& address);

bool is_interface(const std::string& name);
bool is_localnet_routed(const std::string& interface);
// Throws SystemError `unable to enable route_localnet: ...`.
void route_localnet(const std::string& interface);
// Says, beside the books, that it is on because of us: whoever flushes the rule set takes the books
// and the guard away, but not the setting. Needs the lock of writers.
void mark_localnet(const std::string& interface);
bool is_marked(const std::string& interface);
std::vector<std::string> marked_interfaces();
// Takes the mark away, too. Nothing if the interface is gone.
void stop_routing_localnet(const std::string& interface);

}  // namespace cni::portmap
