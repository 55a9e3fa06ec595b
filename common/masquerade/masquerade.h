// Masquerading: what a container sends out of its subnet leaves the host with an address of the
// host. For the plugins bridge, veth and masquerade.
//
// All functions act on the namespace of this thread, which is the host's. Whose the rules are
// follows from the request: network, container ID and interface.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "attachment/check_container_link.h"
#include "base/undo.h"
#include "masquerade/config.h"
#include "protocol/request.h"
#include "protocol/result.h"

namespace cni::masquerade {

// The addresses of the container's interface in `result`, with their prefixes: an entry that points
// at another interface, or at one of the host, is left out.
std::vector<inet::Network> container_addresses(const Request& request, const Result& result);

// Masquerades those of the container's addresses whose family is on; with none of them nothing is
// done. `result` has its interfaces. What the attachment had before is replaced, and an address
// that was another one's is its own from now on. `undo` leaves what was there before as it is now.
// Throws Error 7 for a source address that the host does not have, or for a setting that the store
// lacks.
void add(const Request& request, const Result& result, const Config& config, Undo& undo);

// In whatever store the rules are, also those of the reference suite.
void check(const Request& request, const Result& previous, const Config& config,
           attachment::Differences& differences);

// From every store that exists on this host, also what the reference suite left there. Needs no
// namespace of the container and no more of the configuration than the name of the network; the
// previous result is a hint. Goes on after a failure and reports all.
void remove(const Request& request);

// Removes what is of `network` and of none of `valid`, from every store, as remove().
void collect(const std::string& network, const std::vector<Attachment>& valid);

// Why add() would fail on this host; nothing if it would not.
std::optional<std::string> find_obstacle(const Config& config);

}  // namespace cni::masquerade
