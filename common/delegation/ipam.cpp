#include "delegation/ipam.h"

#include <fmt/format.h>

#include <algorithm>
#include <cerrno>

#include "base/deadline.h"
#include "delegation/delegate.h"
#include "delegation/find_plugin.h"
#include "protocol/error.h"

namespace cni::delegation {
namespace {

constexpr std::chrono::milliseconds kLeastTimeOfUndo{1000};

std::string ipam_type(const Request& request) {
  return request.conf["ipam"]["type"].string_or("");
}

}  // namespace

std::optional<Ipam> Ipam::find(const Request& request) {
  const std::string type = ipam_type(request);
  if (type.empty()) return std::nullopt;
  // It would call itself without end. That `type` is another says little: a plugin that somebody
  // took for an IPAM plugin is given the configuration of its caller.
  if (type == request.conf["type"].string_or("") || type == ::program_invocation_short_name) {
    request.conf["ipam"]["type"].refuse("the IPAM plugin is the calling plugin itself");
  }
  return Ipam(find_plugin(type, request.environment.path, "ipam.type"));
}

Ipam Ipam::get(const Request& request) {
  std::optional<Ipam> ipam = find(request);
  if (!ipam) request.conf["ipam"]["type"].refuse("no plugin name provided");
  return *std::move(ipam);
}

void Ipam::release_after(const std::function<void()>& remove, const Request& request,
                         BestEffort& cleanup) {
  const auto release = [&] {
    cleanup.run("release the addresses", [&] {
      if (const auto ipam = find(request)) ipam->del(request);
    });
  };
  const bool needs_link = ipam_type(request) == "dhcp";
  if (needs_link) release();
  remove();
  if (!needs_link) release();
}

Result Ipam::add(const Request& request, Undo& undo) const {
  const Deadline deadline = Deadline::in(time_limit());
  // Whoever waits for us knows of one time limit for all of ADD.
  undo.add("release the addresses", [path = path_, &request, deadline] {
    const std::chrono::milliseconds left(deadline.poll_timeout_ms());
    call(path, Command::kDel, request.conf.text(), std::max(left, kLeastTimeOfUndo));
  });
  Result result =
      parse_answer(call(path_, Command::kAdd, request.conf.text()), request.version, path_);
  if (result.ips.empty()) {
    throw Error(Code::kInternal, "IPAM plugin returned missing IP config",
                fmt::format("plugin {}", path_));
  }
  result.interfaces.clear();
  for (IpConfig& ip : result.ips) ip.interface.reset();
  return result;
}

void Ipam::check(const Request& request) const {
  call(path_, Command::kCheck, request.conf.text());
}

void Ipam::del(const Request& request) const {
  call(path_, Command::kDel, request.conf.text());
}

void Ipam::status(const Request& request) const {
  call(path_, Command::kStatus, request.conf.text());
}

void Ipam::gc(const Request& request) const {
  call(path_, Command::kGc, request.conf.text());
}

}  // namespace cni::delegation
