// The veth pair of an attachment: one end in the container under CNI_IFNAME, the other on the host.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <optional>
#include <string>
#include <vector>

#include "attachment/owner.h"
#include "base/undo.h"
#include "inet/mac.h"
#include "netlink/link.h"
#include "netlink/netlink_socket.h"
#include "netns/netns.h"
#include "protocol/request.h"
#include "protocol/result.h"

namespace cni::attachment {

struct VethPairSpec {
  Owner owner;
  std::optional<std::uint32_t> mtu = std::nullopt;  // of both ends, bytes
  std::optional<inet::Mac> container_mac = std::nullopt;
  std::optional<int> master = std::nullopt;  // of the host end: index of a bridge
};

struct VethPair {
  netlink::Link host;
  netlink::Link container;
};

// Makes the pair, both ends down; the host end does not have its alias yet (the kernel ignores one
// at creation) and takes no router advertisements. This thread is in the namespace of `host`.
//
// A host end that an earlier life of this container left behind is replaced. Throws Error 999
// `container veth name ("eth0") peer provided ("vethXXXXXXXX") already exists` if the container has
// an interface of that name; nothing is changed then.
VethPair add_veth_pair(netlink::Socket& host, netlink::Socket& container,
                       const netns::Netns& container_netns, const VethPairSpec& spec, Undo& undo);

// The host end of an attachment, by its name and its mark.
std::optional<netlink::Link> find_host_end(netlink::Socket& host, const Owner& owner);

// Works without the container's namespace. Returns whether it was there.
bool delete_host_end_if_exists(netlink::Socket& host, const Owner& owner);

// What is called as the container's end, if it is a veth to this host whose other end is not marked
// as another attachment's; that goes with it. Returns whether it was there.
bool delete_container_end_if_exists(netlink::Socket& host, const netns::Netns& container_netns,
                                    const Owner& owner);

// Deletes every host end in this namespace that is marked as of `network` and of none of `valid`.
// Goes on after a failure and reports all.
void collect_host_ends(netlink::Socket& host, const std::string& network,
                       const std::vector<Attachment>& valid);

// For DEL: both ends, wherever they are, also of another suite's making. Works without the
// container's namespace.
void delete_veth_pair_if_exists(const Request& request);

// For GC: collect_host_ends() for the network and the valid attachments of the request.
void collect_veth_pairs(const Request& request);

// The first of `kinds` of links that this kernel does not have, in a sentence for STATUS.
std::optional<std::string> find_missing_kind(netlink::Socket& host,
                                             std::initializer_list<const char*> kinds);

// How a result tells of a link. `sandbox` is empty on the host.
Interface describe(const netlink::Link& link, const Request& request,
                   const std::string& sandbox = {});

// Waits until frames can pass `host_end`, which was set up and whose peer was too. Throws Error 999
// `<what> in error state: <state>` after 2 s. Then for the bridge that it is a port of, unless the
// spanning tree protocol holds that one back; no more than 200 ms, as the kernel puts the states of
// links off when many change, and a bridge that is late only drops a few frames of the host.
void wait_until_forwarding(netlink::Socket& host, const netlink::Link& host_end,
                           const std::string& what);

}  // namespace cni::attachment
