#include "convert.h"

namespace conformance {
namespace {

using nlohmann::json;

json block(const json& result, const json& address, bool ipv6) {
  json made = {{"ip", address.at("address")}};
  if (address.contains("gateway")) made["gateway"] = address["gateway"];
  for (const json& route : result.value("routes", json::array())) {
    if (is_ipv6(route.at("dst")) != ipv6) continue;
    json kept = {{"dst", route.at("dst")}};
    if (route.contains("gw")) kept["gw"] = route["gw"];
    made["routes"].push_back(kept);
  }
  return made;
}

json without_lists(const json& result, const std::string& version) {
  json made = {{"cniVersion", version}, {"dns", result.value("dns", json::object())}};
  for (const json& address : result.value("ips", json::array())) {
    const bool ipv6 = is_ipv6(address.at("address"));
    const char* key = ipv6 ? "ip6" : "ip4";
    if (!made.contains(key)) made[key] = block(result, address, ipv6);
  }
  return made;
}

}  // namespace

bool is_ipv6(const std::string& address) {
  return address.find(':') != std::string::npos;
}

json converted(json result, const std::string& version) {
  if (version < "0.3.0") return without_lists(result, version);
  result["cniVersion"] = version;
  if (version < "1.0.0") {
    for (json& address : result["ips"]) {
      address["version"] = is_ipv6(address.at("address")) ? "6" : "4";
    }
    for (json& interface : result["interfaces"]) {
      for (const char* key : {"mtu", "socketPath", "pciID"}) interface.erase(key);
    }
  }
  return result;
}

json without_empty(const json& document) {
  if (document.is_array()) {
    json list = json::array();
    for (const json& item : document) list.push_back(without_empty(item));
    return list;
  }
  if (!document.is_object()) return document;
  json made = json::object();
  for (const auto& [key, value] : document.items()) {
    json kept = without_empty(value);
    const bool empty = kept.is_null() || (kept.is_structured() && kept.empty()) || kept == "";
    if (!empty) made[key] = std::move(kept);
  }
  return made;
}

}  // namespace conformance
