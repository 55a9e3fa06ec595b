#include "delegation/ipam.h"

#include "delegation/delegate.h"
#include "delegation/find_plugin.h"
#include "protocol/error.h"

namespace cni::delegation {
namespace {

std::string ipam_type(const Request& request) {
  return request.conf["ipam"]["type"].string_or("");
}

}  // namespace

std::optional<Ipam> Ipam::find(const Request& request) {
  const std::string type = ipam_type(request);
  if (type.empty()) return std::nullopt;
  // It would call itself without end.
  if (type == request.conf["type"].string_or("")) {
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
  undo.add("release the addresses", [ipam = *this, &request] { ipam.del(request); });
  Result result = parse_answer(call(path_, Command::kAdd, request.conf.text()), request.version);
  if (result.ips.empty()) throw Error(Code::kInternal, "IPAM plugin returned missing IP config");
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
