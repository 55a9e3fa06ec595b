// portmap: forwards ports of the host to a container.
//
// The rules are in one of three places (netfilter/choose_store.h). In the first, a table of its
// own, a container is elements of maps; in the other two it has a chain, as the reference suite
// makes it. Whatever the place, the table says which attachment has which ports, so DEL and GC need
// nothing but the names of the attachment, and an ADD knows who is in its way.

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "attachment/check_container_link.h"
#include "base/best_effort.h"
#include "chain_names.h"
#include "config.h"
#include "differences.h"
#include "native_support.h"
#include "protocol/error.h"
#include "protocol/plugin.h"
#include "publish.h"
#include "withdraw.h"

namespace cni::portmap {
namespace {

using netfilter::StoreChoice;

StoreChoice choose(const Config& config) {
  // Only the native table knows of sources.
  if (config.backend == netfilter::Backend::kAuto && config.limits_sources()) {
    return netfilter::choose_store(netfilter::Backend::kNftables);
  }
  return netfilter::choose_store(config.backend, config.external_set_mark_chain);
}

Result add(const Request& request, Undo& undo) {
  const auto previous = request.conf.find_prev_result();
  const Config config = parse_config(request, previous);
  if (!previous) {
    throw Error(Code::kInvalidConfig, "must be called as chained plugin",
                "Required prevResult missing");
  }
  if (!config.mappings.empty() && (config.address_v4 || config.address_v6)) {
    publish(request, config, choose(config), undo);
  }
  return *previous;
}

void check(const Request& request) {
  const auto previous = request.conf.find_prev_result();
  const Config config = parse_config(request, previous);
  if (!previous) throw Error(Code::kInvalidConfig, "Required prevResult missing");
  attachment::Differences found;
  if (!config.mappings.empty()) {
    for (std::string& text : differences(request, config)) found.add(std::move(text));
  }
  found.finish();
}

bool has_own_name(const ChainHolder& holder, const Request& request) {
  return holder.chain == container_chain(request.conf.name(), request.environment.container_id);
}

// The container's own chain by its name, and one that it got when the network had another name:
// known by its address, or by the namespace being gone, when none of its networks is left.
bool is_chain_of(const ChainHolder& holder, const Request& request,
                 const std::optional<inet::Address>& v4, const std::optional<inet::Address>& v6) {
  if (has_own_name(holder, request)) return true;
  if (holder.container_id != request.environment.container_id) return false;
  if (!v4 && !v6) return !request.netns;
  return holder.address && (holder.address == v4 || holder.address == v6);
}

void del(const Request& request) {
  const auto& [container_id, ifname] = request.attachment();
  std::optional<inet::Address> v4;
  std::optional<inet::Address> v6;
  if (const auto previous = request.conf.hint_prev_result()) {
    const auto address = [&](inet::Family family) -> std::optional<inet::Address> {
      const auto network = find_container_address(*previous, family, ifname);
      return network ? std::optional(network->address) : std::nullopt;
    };
    v4 = address(inet::Family::kIpv4);
    v6 = address(inet::Family::kIpv6);
  }
  const netfilter::Owner owner{
      .network = request.conf.name(), .container_id = container_id, .ifname = ifname};
  BestEffort cleanup;
  withdraw({.attachment = owner,
            .holding = [&](const Holding& one) { return same_attachment(one.owner, owner); },
            .may_be =
                [&](const ChainHolder& one) {
                  return has_own_name(one, request) || one.container_id == container_id;
                },
            .chain = [&](const ChainHolder& one) { return is_chain_of(one, request, v4, v6); },
            .reference_id = container_id,
            .reference_v4 = v4,
            .reference_v6 = v6},
           cleanup);
  cleanup.finish();
}

void status(const Request& request) {
  const Config config = parse_config(request, std::nullopt);
  const StoreChoice store = choose(config);
  netfilter::require_access(store);
  if (store != StoreChoice::kNative) return;
  if (const auto lack = find_lack_of_native_support()) throw Error(Code::kNotAvailable, *lack);
}

void gc(const Request& request) {
  const std::string& network = request.conf.name();
  const auto valid = request.conf.find_valid_attachments().value_or(std::vector<Attachment>{});
  const auto is_valid = [&](const std::string& container_id, const std::string* ifname) {
    return std::ranges::any_of(valid, [&](const Attachment& one) {
      return one.container_id == container_id && (ifname == nullptr || one.ifname == *ifname);
    });
  };
  const auto is_stale = [&](const ChainHolder& one) {
    return one.network == network && !is_valid(one.container_id, nullptr);
  };
  BestEffort collection;
  withdraw({.holding =
                [&](const Holding& one) {
                  return one.owner.network == network &&
                         !is_valid(one.owner.container_id, &one.owner.ifname);
                },
            .may_be = is_stale,
            .chain = is_stale},
           collection);
  collection.finish();
}

}  // namespace
}  // namespace cni::portmap

int main() {
  using namespace cni;
  return run_plugin({.name = "portmap",
                     .add = portmap::add,
                     .check = portmap::check,
                     .del = portmap::del,
                     .status = portmap::status,
                     .gc = portmap::gc});
}
