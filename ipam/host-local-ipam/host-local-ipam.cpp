// host-local-ipam: gives each attachment addresses of ranges that this host may use by itself.
//
// A reservation is a file named as the address in <dataDir>/<network>, in the form of the Go
// suite's host-local, so that either can release what the other gave. Beside them lies an index by
// which the cost of a call does not grow with the number of reservations (index.h), and what tells
// later whether an attachment is still alive (liveness.h): an ADD that finds no free address, or
// a new boot, takes those of the dead. Everything happens under one flock(2) of the network.

#include <algorithm>
#include <optional>
#include <set>
#include <vector>

#include "allocator.h"
#include "base/best_effort.h"
#include "base/log.h"
#include "base/undo.h"
#include "config.h"
#include "pool.h"
#include "protocol/error.h"
#include "protocol/plugin.h"
#include "resolv_conf.h"
#include "store.h"
#include "usage.h"

using cni::Attachment;
using cni::BestEffort;
using cni::Code;
using cni::Error;
using cni::Request;
using cni::Result;
using cni::Undo;
using namespace cni::host_local;

namespace {

Owner owner_of(const Request& request) {
  return {.container_id = request.environment.container_id, .ifname = request.environment.ifname};
}

// An owner of the old form stands for every interface of its container.
std::vector<Owner> owners_of(const Request& request) {
  return {owner_of(request), {.container_id = request.environment.container_id}};
}

Result add(const Request& request, Undo& undo) {
  const Config config = parse_config(request);
  Result result{.routes = config.routes};
  if (!config.resolv_conf.empty()) result.dns = read_resolv_conf(config.resolv_conf);

  Pool pool(Store::ensure(config.place.shared()), config.place);
  result.ips = Allocator(pool, config, request).allocate(undo);
  pool.save();
  return result;
}

void check(const Request& request) {
  const Config config = parse_ranges(request);
  const auto missing = [&](const std::string& details) {
    throw Error(Code::kInternal,
                fmt::format("host-local: Failed to find address added by container {}",
                            request.environment.container_id),
                details);
  };
  auto store = Store::find_for_reading(config.place.shared());
  if (!store) missing(fmt::format("there is no directory {}", config.place.shared()));
  Pool pool(*std::move(store), config.place);

  std::vector<cni::inet::Address> reserved;
  for (const Owner& owner : owners_of(request)) {
    std::ranges::copy(pool.addresses_of(owner), std::back_inserter(reserved));
  }
  if (reserved.empty()) missing("no address is reserved for it");
  const std::optional<Result> previous = request.conf.find_prev_result();
  if (!previous) return;
  for (const cni::IpConfig& ip : previous->ips) {
    const auto& address = ip.address.address;
    // Others are of another plugin, or of ranges that were taken out of the configuration.
    const bool ours = std::ranges::any_of(
        config.sets, [&](const RangeSet& set) { return set.find(address) != nullptr; });
    if (ours && std::ranges::find(reserved, address) == reserved.end()) {
      missing(fmt::format("{} is not reserved for it", address.text()));
    }
  }
}

void del(const Request& request) {
  const Cleanup known = parse_for_cleanup(request);
  auto store = Store::find_for_writing(known.place.shared());
  if (!store) return;
  Pool pool(*std::move(store), known.place);

  BestEffort cleanup;
  bool found = false;
  for (const Owner& owner : owners_of(request)) {
    if (found) break;
    for (const auto& address : pool.addresses_of(owner)) {
      found = true;
      cleanup.run(fmt::format("release {}", address.text()),
                  [&] { pool.release(address, owner, known.release); });
    }
  }
  pool.save();
  cleanup.finish();
}

void status(const Request& request) {
  const Config config = parse_ranges(request);
  if (const auto problem = find_directory_problem(config.place.shared())) {
    throw Error(Code::kNotAvailable, *problem);
  }
  auto store = Store::find_for_reading(config.place.shared());
  if (!store) return;
  Pool pool(*std::move(store), config.place);
  if (const RangeSet* exhausted = find_exhausted_set(pool, config)) {
    throw Error(Code::kNotAvailable,
                fmt::format("no IP addresses available in range set: {}", exhausted->text()),
                describe_usage(pool, config));
  }
  if (cni::log::enabled(cni::log::Level::kInfo)) {
    cni::log::info("{}", describe_usage(pool, config));
  }
}

// The attachments of a runtime's list; with no interface, their containers. A reservation of the
// old form stands for every interface of its container.
std::set<Attachment> with_containers(const std::vector<Attachment>& attachments) {
  std::set<Attachment> all(attachments.begin(), attachments.end());
  for (const Attachment& attachment : attachments) {
    all.insert({.container_id = attachment.container_id, .ifname = ""});
  }
  return all;
}

// An address in use is kept whatever the list says: it may be the list of one of several
// runtimes that share the network. Without a list, so is what may be alive for all we know.
void gc(const Request& request) {
  const Cleanup known = parse_for_cleanup(request);
  const std::optional<std::vector<Attachment>> list = request.conf.find_valid_attachments();
  const std::set<Attachment> valid = with_containers(list.value_or(std::vector<Attachment>{}));
  auto store = Store::find_for_writing(known.place.shared());
  if (!store) return;
  Pool pool(*std::move(store), known.place);

  BestEffort cleanup;
  const std::vector<cni::inet::Address> torn = pool.read_again().torn;
  for (const auto& address : torn) {
    cleanup.run(fmt::format("release {}", address.text()),
                [&] { pool.store().delete_torn(address); });
  }
  for (const Lease& lease : pool.leases()) {
    const auto& [address, owner] = lease.reservation;
    if (valid.contains({.container_id = owner.container_id, .ifname = owner.ifname})) continue;
    if (!list && lease.life == Life::kUnknown) continue;
    cleanup.run(fmt::format("release {}", address.text()), [&] {
      if (pool.liveness().is_in_use(lease.stamp, address)) return;
      pool.release(address, owner, known.release);
    });
  }
  pool.save();
  cleanup.finish();
}

}  // namespace

int main() {
  return cni::run_plugin({.name = "host-local-ipam",
                          .netns = cni::NetnsUse::kIgnores,
                          .add = add,
                          .check = check,
                          .del = del,
                          .status = status,
                          .gc = gc});
}
