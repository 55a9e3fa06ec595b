// forwardAccept: what the host forwards for a container is accepted where the policy is to drop it.
// For the plugins bridge and veth, whose key of that name turns it on.
//
// Served are the chains FORWARD of iptables, of either store. A chain of somebody's own table of
// nf_tables is only reported: what its rules are for is not known here.
//
// All functions act on the namespace of this thread, which is the host's. Whose the rules are
// follows from the request: network, container ID and interface.
#pragma once

#include <string>
#include <vector>

#include "attachment/check_container_link.h"
#include "base/undo.h"
#include "inet/network.h"
#include "protocol/request.h"

namespace cni::forward_accept {

// Accepts new connections from the addresses, and answers to them, in each store that drops what is
// forwarded by policy at this moment. Nothing is done where none does.
void add(const Request& request, const std::vector<inet::Network>& addresses, Undo& undo);

void check(const Request& request, const std::vector<inet::Network>& addresses,
           attachment::Differences& differences);

// From every store that exists on this host. Needs neither a namespace of the container nor a
// previous result. Goes on after a failure and reports all.
void remove(const Request& request);

// Removes what is of `network` and of none of `valid`, as remove().
void collect(const std::string& network, const std::vector<Attachment>& valid);

// For ADD without the key: one warning in the log if the host's iptables-nft drops what is
// forwarded for one of the addresses. One question to the kernel for each family; never fails.
void warn_of_policy(const std::vector<inet::Network>& addresses);

// For STATUS: one warning in the log that names every chain which drops what is forwarded, and
// which is not served because the key is off or never is. Never fails.
void warn_of_policies(bool is_on);

}  // namespace cni::forward_accept
