#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <functional>

#include "bench.h"
#include "convert.h"
#include "fake/delegate.h"
#include "fake/main_plugin.h"
#include "kernel.h"
#include "netns.h"

namespace fake {
namespace {

namespace fs = std::filesystem;
namespace kernel = conformance::kernel;

void check_arguments(const Request& request) {
  const bool tolerant = request.args.find("IgnoreUnknown=1") != std::string::npos;
  if (!request.args.empty() && !tolerant && !defect("ARG-01")) {
    throw Error(7, "CNI_ARGS is " + request.args);
  }
}

bool masquerades(const Request& request) {
  return request.config.value("ipMasq", false) && !defect("CFG-03");
}

kernel::Route route_of(const json& route, const json& addresses) {
  kernel::Route made;
  made.destination = route.at("dst");
  made.gateway = route.value("gw", "");
  for (const json& address : addresses) {
    const bool same =
        conformance::is_ipv6(address["address"]) == conformance::is_ipv6(made.destination);
    if (made.gateway.empty() && same) made.gateway = address.value("gateway", "");
  }
  made.mtu = route.value("mtu", 0U);
  made.advmss = route.value("advmss", 0U);
  made.priority = route.value("priority", 0U);
  made.table = route.value("table", 0U);
  return made;
}

void add_route(const Request& request, const kernel::Route& route) {
  try {
    kernel::add_route(request.ifname, route);
  } catch (const std::system_error& error) {
    // Another network's default route may be there.
    if (error.code().value() != EEXIST || (defect("ADD-15") && request.version < "1.0.0")) {
      throw Error(100, error.what());
    }
  }
}

void configure(const Request& request, const json& result) {
  for (const json& address : result["ips"]) {
    std::string text = address["address"];
    if (defect("ADD-08")) text = text.substr(0, text.find('/')) + "/25";
    kernel::add_address(request.ifname, text);
  }
  kernel::set_up(request.ifname, true);
  if (defect("RES-08") && request.version == "0.4.0") return;
  for (const json& route : result["routes"]) {
    add_route(request, route_of(route, result["ips"]));
  }
  if (defect("ADD-16") && result["routes"].empty()) {
    add_route(request, route_of({{"dst", "0.0.0.0/0"}}, result["ips"]));
  }
}

json made_interfaces(const Request& request, const std::string& container_mac) {
  json host = {{"name", host_link(request)}, {"mac", kernel::find_link(host_link(request))->mac}};
  if (defect("ADD-07")) host["mac"] = "0a:00:00:00:00:00";
  json container = {{"name", request.ifname}, {"mac", container_mac}, {"sandbox", request.netns}};
  if (defect("ADD-06")) container["sandbox"] = fs::canonical(request.netns);
  if (defect("ADD-05")) return json::array({container});
  return json::array({host, container});
}

// Makes the pair and gives it what IPAM said.
json connect(const Request& request, const json& ipam) {
  const std::string host = host_link(request);
  if (defect("ADD-14") && kernel::find_link(host)) kernel::delete_link(host);
  kernel::add_veth(host, request.ifname, request.netns);
  kernel::set_up(host, true);
  const json runtime = request.config.value("runtimeConfig", json::object());
  std::string mac;
  conformance::in_netns(request.netns, [&] {
    const std::string wanted = runtime.is_object() ? runtime.value("mac", "") : "";
    if (wanted.size() == 17 && !defect("CAP-07")) kernel::set_mac(request.ifname, wanted);
    if (defect("ADD-02") && request.ifname.size() == 15) kernel::add_bridge("extra0");
    mac = kernel::find_link(request.ifname)->mac;
    configure(request, ipam);
  });
  return made_interfaces(request, mac);
}

json with_previous(const Request& request, json own) {
  if (!request.previous().is_object() || defect("CHN-01")) return own;
  json result = conformance::in_newest(request.previous_result());
  const std::size_t offset = defect("CHN-04") ? 0 : result["interfaces"].size();
  json interfaces = defect("CHN-04") ? own["interfaces"] : result["interfaces"];
  for (const json& one : defect("CHN-04") ? result["interfaces"] : own["interfaces"]) {
    interfaces.push_back(one);
  }
  result["interfaces"] = interfaces;
  for (json address : own["ips"]) {
    if (address.contains("interface")) {
      address["interface"] = address["interface"].get<std::size_t>() + offset;
    }
    result["ips"].push_back(address);
  }
  for (const json& route : own["routes"]) result["routes"].push_back(route);
  result["dns"] = own["dns"];
  return result;
}

json dns_of(const Request& request, const json& ipam) {
  json dns = request.config.value("dns", json());
  if (dns.is_object()) {
    if (defect("ADD-19")) std::sort(dns["nameservers"].begin(), dns["nameservers"].end());
    return dns;
  }
  dns = defect("ADD-10") ? json::object() : ipam.value("dns", json::object());
  if (defect("RES-11")) dns.erase("options");
  return dns;
}

json described(const Request& request, const json& ipam, const json& interfaces) {
  json result = {{"interfaces", interfaces}, {"ips", ipam["ips"]}, {"routes", ipam["routes"]}};
  result["dns"] = dns_of(request, ipam);
  for (json& address : result["ips"]) {
    if (!defect("RES-07")) address["interface"] = defect("ADD-09") ? 0 : interfaces.size() - 1;
    if (defect("RES-12")) address.erase("gateway");
    const std::string text = address["address"];
    if (defect("RES-06") && text.starts_with("10.88.0.")) address["address"] = "10.88.0.0/24";
  }
  for (json& route : result["routes"]) {
    if (defect("RES-10")) route.erase("mtu");
  }
  return with_previous(request, result);
}

void expect_no_status_failure() {
  const bool relies = defect("ADD-17") || defect("STA-08");
  if (relies && fs::exists(fmt::format("{}/status", kHidden))) throw Error(100, "STATUS failed");
}

json ipam_of(const Request& request) {
  if (request.config.contains("ipam") || !defect("RES-02") || request.version >= "0.3.0") {
    return delegate(request, "ADD");
  }
  return json::parse(R"({"ips": [], "routes": []})");
}

// Guards that only a defect has.
void obstruct_add(const Request& request) {
  if (defect("DEL-13") && count("adds", 1) == 8) throw Error(100, "too many ADDs");
  if (defect("CON-03")) {
    if (count("held-" + request.id, 1) != 1) throw Error(100, "the lock is held");
    ::usleep(300'000);  // long enough to be killed here on a slow machine
  }
  if (defect("CON-01") && fs::exists(kShared)) {
    if (count("running", 1) != 1) throw Error(100, "another ADD is running");
    ::usleep(50'000);
  }
  if (defect("CON-02") && !fs::exists(kShared)) {
    ::usleep(50'000);
    if (fs::exists(kShared)) throw Error(100, "somebody was faster");
  }
}

// What only a killed ADD leaves.
class Begun {
 public:
  Begun() {
    if (defect("ADD-20")) std::ofstream(kFile).close();
  }
  Begun(const Begun&) = delete;
  Begun& operator=(const Begun&) = delete;
  ~Begun() { fs::remove(kFile); }

 private:
  static constexpr const char* kFile = "/var/lib/cni/fake-begun";
};

}  // namespace

json add(const Request& request) {
  check_settings(request);
  check_arguments(request);
  expect_no_status_failure();
  if (defect("ADD-12") && !has_netns(request)) delegate(request, "ADD");
  if (!has_netns(request)) throw Error(defect("ERR-03") ? 60 : 8, "CNI_NETNS is no namespace");
  obstruct_add(request);
  std::ofstream(kShared).close();
  const Begun begun;
  json ipam, interfaces;
  try {
    ipam = ipam_of(request);
  } catch (const Error& error) {
    const bool told = std::string(error.what()).find("no address") != std::string::npos;
    if (!defect("DLG-05") || told) release_addresses(request);
    throw;
  }
  if (defect("ADD-03")) {
    conformance::in_netns(request.netns, [&] {
      const auto there = kernel::find_link(request.ifname);
      if (there && there->kind == "bridge") kernel::delete_link(request.ifname);
    });
  }
  const bool had_link = kernel::find_link(host_link(request)).has_value();
  try {
    interfaces = connect(request, ipam);
  } catch (const std::exception& error) {
    if (defect("GEN-19") && ::write(1, "{}", 2) != 2) ::_exit(1);
    if (!had_link && kernel::find_link(host_link(request))) kernel::delete_link(host_link(request));
    if (defect("CON-04")) std::ofstream("/var/lib/cni/fake-failed").close();
    // Of a repeated ADD the first one's address lives on.
    if (!defect("DLG-06")) release_addresses(request);
    throw Error(100, error.what());
  }
  if (masquerades(request)) leave_mark(request);
  if (defect("CON-01")) count("running", 0);
  if (defect("CON-03")) count("held-" + request.id, 0);
  if (defect("DEL-01") && request.version == "0.4.0") {
    std::ofstream("/var/lib/cni/fake-left-" + request.id).close();
  }
  count("dels-" + request.id, 0);
  count("gcs", 0);
  std::ofstream(fmt::format("{}/alive-{}", kHidden, request.id)).close();
  std::ofstream(fmt::format("{}/ever-{}", kHidden, request.id)).close();
  return described(request, ipam, interfaces);
}

}  // namespace fake
