#include "delegation/ipam.h"

#include <fmt/format.h>

#include "base/text.h"
#include "delegation/delegate.h"
#include "delegation/find_plugin.h"
#include "json/parse.h"
#include "protocol/error.h"
#include "protocol/result_versions.h"

namespace cni::delegation {
namespace {

std::string ipam_type(const Request& request) {
  return request.conf["ipam"]["type"].string_or("");
}

json::Value parse_answer(const std::string& answer) {
  try {
    json::Value document = json::parse(answer);
    if (document.is_null()) return json::Value::object();
    if (document.is_object()) return document;
    throw json::SyntaxError("it is not an object");
  } catch (const json::SyntaxError& error) {
    throw Error(Code::kInternal, fmt::format("failed to unmarshal raw result: {}", error.what()));
  }
}

// An answer may be in any version we know; without one it is in the request's.
Result parse_ipam_result(const std::string& answer, const Request& request) {
  const json::Value document = parse_answer(answer);
  const json::Reader reader(document);
  try {
    const std::string given = reader["cniVersion"].string_or("");
    const std::optional<Version> version = given.empty() ? request.version : find_version(given);
    if (!version) {
      throw Error(Code::kInternal,
                  fmt::format("unsupported CNI result version {}", in_quotes(given)));
    }
    return parse_result(reader, *version);
  } catch (const json::ValueError& error) {
    throw Error(Code::kInternal, fmt::format("failed to convert IPAM result: {}", error.what()),
                error.place());
  }
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

bool Ipam::releases_through_link(const Request& request) {
  return ipam_type(request) == "dhcp";
}

Result Ipam::add(const Request& request, Undo& undo) const {
  undo.add("release the addresses", [ipam = *this, &request] { ipam.del(request); });
  Result result = parse_ipam_result(call(path_, Command::kAdd, request.conf.text()), request);
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
