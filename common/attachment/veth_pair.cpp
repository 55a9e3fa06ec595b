#include "attachment/veth_pair.h"

#include <fmt/format.h>

#include <cerrno>
#include <set>

#include "attachment/ipv6.h"
#include "base/best_effort.h"
#include "base/log.h"
#include "netlink/link_deletion.h"
#include "netlink/link_watch.h"
#include "protocol/error.h"

namespace cni::attachment {
namespace {

constexpr unsigned kNameAttempts = 10;

// A link of this name may be the owner's: it says so, or it was left before its alias was set. The
// network may have been given another name since.
bool may_belong_to(const netlink::Link& link, const Owner& owner) {
  if (link.kind != "veth") return false;
  const std::optional<OwnerMark> mark = find_owner_mark(link.alias);
  return link.alias.empty() || (mark && mark->attachment == OwnerMark::of(owner).attachment);
}

// The end on the host of a container's veth, whatever it is called.
std::optional<netlink::Link> find_peer(netlink::Socket& host, const netns::Netns& container_netns,
                                       const netlink::Link& container_end) {
  if (!container_end.peer_index) return std::nullopt;
  std::optional<netlink::Link> link = netlink::find_link(host, *container_end.peer_index);
  // Links of different namespaces have the same indexes.
  if (!link || link->kind != "veth" || link->peer_index != container_end.index ||
      !link->link_netnsid || link->link_netnsid != netlink::find_netnsid(host, container_netns)) {
    return std::nullopt;
  }
  return link;
}

[[noreturn]] void throw_name_taken(const std::string& ifname, const std::string& host_name) {
  throw Error(Code::kInternal,
              fmt::format("container veth name (\"{}\") peer provided (\"{}\") already exists",
                          ifname, host_name));
}

// Returns whether the pair could be made under this host name.
bool try_add(netlink::Socket& host, netlink::Socket& container, const netns::Netns& container_netns,
             const VethPairSpec& spec, const std::string& host_name) {
  const std::string& ifname = spec.owner.attachment.ifname;
  const netlink::VethSpec veth = {
      .host = {.name = host_name, .mtu = spec.mtu, .master = spec.master},
      .container = {
          .name = ifname, .mtu = spec.mtu, .mac = spec.container_mac, .netns = &container_netns}};
  for (bool cleared = false;; cleared = true) {
    try {
      netlink::add_veth(host, veth);
      return true;
    } catch (const netlink::KernelError& error) {
      // The kernel does not say which of the two names is taken.
      if (error.number() != EEXIST) throw;
    }
    if (netlink::find_link(container, ifname)) throw_name_taken(ifname, host_name);
    const std::optional<netlink::Link> old = netlink::find_link(host, host_name);
    if (cleared || (old && !may_belong_to(*old, spec.owner))) return false;
    if (old) {
      log::info("replacing \"{}\", which an earlier life of this container left", host_name);
      netlink::delete_link_if_exists(host, old->index);
    }
  }
}

}  // namespace

VethPair add_veth_pair(netlink::Socket& host, netlink::Socket& container,
                       const netns::Netns& container_netns, const VethPairSpec& spec, Undo& undo) {
  for (unsigned attempt = 0; attempt < kNameAttempts; ++attempt) {
    const std::string host_name = host_link_name(spec.owner.attachment, attempt);
    if (!try_add(host, container, container_netns, spec, host_name)) continue;
    undo.add("delete the veth pair", [owner = spec.owner] {
      netlink::Socket again = netlink::Socket::here();
      delete_host_end_if_exists(again, owner);
    });
    refuse_router_advertisements(host_name);
    return {.host = netlink::get_link(host, host_name),
            .container = netlink::get_link(container, spec.owner.attachment.ifname)};
  }
  throw_name_taken(spec.owner.attachment.ifname,
                   host_link_name(spec.owner.attachment, kNameAttempts - 1));
}

std::optional<netlink::Link> find_host_end(netlink::Socket& host, const Owner& owner) {
  for (unsigned attempt = 0; attempt < kNameAttempts; ++attempt) {
    std::optional<netlink::Link> link =
        netlink::find_link(host, host_link_name(owner.attachment, attempt));
    // A stranger that had an earlier name may have gone meanwhile, so go on.
    if (link && may_belong_to(*link, owner)) return link;
  }
  return std::nullopt;
}

bool delete_host_end_if_exists(netlink::Socket& host, const Owner& owner) {
  const std::optional<netlink::Link> link = find_host_end(host, owner);
  if (link) netlink::delete_link_promptly(host, link->index);
  return link.has_value();
}

bool delete_container_end_if_exists(netlink::Socket& host, const netns::Netns& container_netns,
                                    const Owner& owner) {
  const std::string& ifname = owner.attachment.ifname;
  netlink::Socket container = netlink::Socket::in(container_netns);
  const std::optional<netlink::Link> link = netlink::find_link(container, ifname);
  if (!link) return false;
  if (link->kind != "veth") {
    log::warning("\"{}\" in the container is no veth but \"{}\", leaving it", ifname, link->kind);
    return false;
  }
  const std::optional<netlink::Link> peer = find_peer(host, container_netns, *link);
  if (!peer || !may_belong_to(*peer, owner)) {
    log::warning("\"{}\" in the container is not of this attachment, leaving it", ifname);
    return false;
  }
  return netlink::delete_link_if_exists(container, link->index);
}

void collect_host_ends(netlink::Socket& host, const std::string& network,
                       const std::vector<Attachment>& valid) {
  std::set<std::string> valid_marks;
  for (const Attachment& attachment : valid) {
    valid_marks.insert(OwnerMark::of({.network = network, .attachment = attachment}).attachment);
  }
  const std::string network_mark = OwnerMark::of({.network = network, .attachment = {}}).network;
  BestEffort collection;
  for (const netlink::Link& link : netlink::links(host, {.kind = "veth"})) {
    const std::optional<OwnerMark> mark = find_owner_mark(link.alias);
    if (!mark || mark->network != network_mark || valid_marks.contains(mark->attachment)) continue;
    collection.run(fmt::format("delete \"{}\"", link.name), [&] {
      log::info("deleting \"{}\" ({}), which is of no valid attachment", link.name, link.alias);
      netlink::delete_link_promptly(host, link.index);
    });
  }
  collection.finish();
}

void delete_veth_pair_if_exists(const Request& request) {
  netlink::Socket host = netlink::Socket::here();
  delete_host_end_if_exists(host, Owner::of(request));
  if (!request.netns) return;
  // Made by another suite. The namespace need not be the one of ADD.
  delete_container_end_if_exists(host, *request.netns, Owner::of(request));
}

void collect_veth_pairs(const Request& request) {
  netlink::Socket host = netlink::Socket::here();
  collect_host_ends(host, request.conf.name(),
                    request.conf.find_valid_attachments().value_or(std::vector<Attachment>{}));
}

std::optional<std::string> find_missing_kind(netlink::Socket& host,
                                             std::initializer_list<const char*> kinds) {
  for (const char* kind : kinds) {
    if (!netlink::is_kind_supported(host, kind)) {
      return fmt::format("this kernel has no links of kind \"{}\" (module {})", kind, kind);
    }
  }
  return std::nullopt;
}

Interface describe(const netlink::Link& link, const Request& request, const std::string& sandbox) {
  Interface interface{.name = link.name, .sandbox = sandbox};
  if (link.mac) interface.mac = link.mac->text();
  if (request.version >= Version::k1_1_0) interface.mtu = link.mtu;
  return interface;
}

void wait_until_forwarding(netlink::Socket& host, const netlink::Link& host_end,
                           const std::string& what) {
  constexpr std::chrono::milliseconds kLimit{2000};
  constexpr std::chrono::milliseconds kBridgeLimit{200};
  netlink::Link link = host_end;
  const auto is_forwarding = [&] {
    link = netlink::get_link(host, host_end.index);
    return link.oper_state == netlink::OperState::kUp && (!link.port || link.port->enabled);
  };
  // The first port that forwards gives a bridge its carrier.
  const auto passes_bridge = [&] {
    if (!link.port) return true;
    const netlink::Link bridge = netlink::get_link(host, *link.master);
    return !bridge.carrier || bridge.oper_state == netlink::OperState::kUp;
  };
  if (is_forwarding() && passes_bridge()) return;
  netlink::LinkWatch watch = netlink::LinkWatch::here();
  if (!watch.wait_until(is_forwarding, Deadline::in(kLimit))) {
    throw Error(Code::kInternal,
                fmt::format("{} in error state: {}", what, netlink::name(link.oper_state)));
  }
  if (!watch.wait_until(passes_bridge, Deadline::in(kBridgeLimit))) {
    log::info("the bridge of \"{}\" is not up yet, going on", link.name);
  }
}

}  // namespace cni::attachment
