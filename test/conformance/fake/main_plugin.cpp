#include "fake/main_plugin.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <functional>

#include "bench.h"
#include "convert.h"
#include "fake/delegate.h"
#include "kernel.h"
#include "netns.h"

namespace fake {
namespace fs = std::filesystem;
namespace kernel = conformance::kernel;

int count(const std::string& name, int step) {
  fs::create_directories(kHidden);
  const std::string path = fmt::format("{}/{}", kHidden, name);
  int value = 0;
  std::ifstream(path) >> value;
  std::ofstream(path) << (step == 0 ? 0 : value + step);
  return value + step;
}

std::string host_link(const Request& request) {
  const std::string key = defect("ADD-13") && request.version >= "1.0.0"
                              ? request.id
                              : request.network + request.id + "/" + request.ifname;
  return fmt::format("fk{:08x}", static_cast<unsigned>(std::hash<std::string>()(key)));
}

bool has_netns(const Request& request) {
  if (!fs::exists(request.netns)) return false;
  try {
    conformance::in_netns(request.netns, [] {});
    return true;
  } catch (const std::system_error&) {
    if (defect("DEL-03") && request.is("DEL")) throw Error(100, "this is no namespace");
    return false;
  }
}

void check_settings(const Request& request) {
  const json& config = request.config;
  const json vlan = config.value("vlan", json(0));
  if (vlan != 0) throw Error(defect("ERR-06") ? 100 : 7, "vlan is " + vlan.dump());
  const json mtu = config.value("mtu", json(0));
  if (!mtu.is_number_integer() && !defect("CFG-07")) throw Error(7, "mtu is " + mtu.dump());
  const json masquerade = config.value("ipMasq", json(false));
  if (!masquerade.is_boolean()) throw Error(7, "ipMasq is " + masquerade.dump());
  const json runtime = config.value("runtimeConfig", json());
  if (defect("CAP-09") && runtime == json::object()) throw Error(7, "runtimeConfig is empty");
  const json mac = runtime.is_object() ? runtime.value("mac", json("")) : json("");
  const bool fine = mac.is_string() && (mac == "" || mac.get<std::string>().size() == 17);
  if (!fine && !defect("CAP-01")) throw Error(7, "mac is " + mac.dump());
}

namespace {

bool is_own(const Request& request, const json& result, const json& address) {
  const json interfaces = result.value("interfaces", json::array());
  const auto index = address.value("interface", std::size_t{0});
  return defect("CHK-11") ||
         (index < interfaces.size() && interfaces[index].value("name", "") == request.ifname);
}

void check_container(const Request& request, const json& result) {
  const auto link = kernel::find_link(request.ifname);
  if (!link || link->kind != "veth") throw Error(100, "the interface is gone");
  if (!link->up) {
    if (defect("CHK-10")) kernel::set_up(request.ifname, true);
    throw Error(100, "the interface is down");
  }
  const auto there = kernel::addresses_of(request.ifname);
  if (defect("CHK-04") && there.size() > result["ips"].size()) throw Error(100, "more addresses");
  for (const json& address : result["ips"]) {
    if (!is_own(request, result, address)) continue;
    const std::string text = address["address"];
    if (defect("CHK-08") && conformance::is_ipv6(text)) throw Error(100, text + " is tentative");
    const bool found = std::ranges::find(there, text) != there.end();
    if (!found && !defect("ADD-08")) throw Error(100, "the interface has not " + text);
  }
  if (defect("CHK-05")) return;
  const auto routes = kernel::routes();
  for (const json& route : result["routes"]) {
    const auto same = [&](const kernel::Route& one) { return route["dst"] == one.destination; };
    if (std::ranges::none_of(routes, same)) throw Error(100, "a route is gone");
  }
}

void check(const Request& request) {
  if (defect("CHK-01") && request.version == "1.0.0") throw Error(4, "CNI_COMMAND is CHECK");
  check_settings(request);
  if (!request.previous().is_object()) {
    if (defect("CHK-03")) return;
    throw Error(7, "there is no prevResult");
  }
  if (!defect("CHK-09")) delegate(request, "CHECK");
  const json result = conformance::in_newest(request.previous_result());
  for (const json& interface : result["interfaces"]) {
    const bool foreign = interface.value("name", "") == "ifb9";
    if (defect("CHN-07") && foreign) throw Error(100, "whose interface is this?");
  }
  conformance::in_netns(request.netns, [&] { check_container(request, result); });
  const auto host = kernel::find_link(host_link(request));
  if (!host || (!host->up && !defect("CHK-07"))) throw Error(100, "the host's end is down");
}

void obstruct_del(const Request& request) {
  const auto hidden = [&](const char* name) {
    return fmt::format("{}/{}-{}", kHidden, name, request.id);
  };
  if (defect("DEL-02") && count("dels-" + request.id, 1) == 3) throw Error(100, "once too often");
  if (defect("DEL-05") && request.previous() == json::object())
    throw Error(7, "prevResult is empty");
  if (defect("DEL-06") && !fs::exists(hidden("ever"))) throw Error(100, "never heard of it");
  if (defect("DEL-04") && fs::exists(hidden("alive")) && has_netns(request) &&
      !kernel::find_link(host_link(request))) {
    throw Error(100, "the interface is gone");
  }
  if (defect("DEL-14") && request.previous().is_object() && !fs::exists(hidden("alive"))) {
    throw Error(100, "prevResult is of the past");
  }
  fs::remove(hidden("alive"));
}

void del(const Request& request) {
  if (defect("CON-06") && request.config.value("mtu", json()) == 1300) return;
  if (defect("GEN-07") && std::getenv("CNI_NETNS") == nullptr)
    throw Error(4, "CNI_NETNS is missing");
  if (defect("DEL-10")) delegate(request, "DEL");
  obstruct_del(request);
  has_netns(request);
  for (int i = 0; i < 100 && kernel::find_link(host_link(request)); ++i) {
    try {
      kernel::delete_link(host_link(request));
    } catch (const std::exception&) {
      ::usleep(1000);  // it is going with its namespace
    }
  }
  remove_mark(request);
  if (!defect("DEL-10")) delegate(request, "DEL");
}

void status(const Request& request) {
  if (defect("STA-09")) std::ofstream("/var/lib/cni/fake-status").close();
  try {
    if (!defect("DLG-07")) delegate(request, "STATUS");
  } catch (const Error& error) {
    fs::create_directories(kHidden);
    std::ofstream(fmt::format("{}/status", kHidden)).close();
    if (defect("STA-02") && std::string(error.what()).starts_with("there is no")) ::_exit(1);
    throw;
  }
}

std::size_t marks(const Request& request) {
  const std::string folder = "/var/lib/cni/fake/" + request.network;
  if (!fs::exists(folder)) return 0;
  const auto files = fs::directory_iterator(folder);
  return static_cast<std::size_t>(std::distance(begin(files), end(files)));
}

void refuse_the_living(const Request& request) {
  for (const auto& entry : fs::directory_iterator("/var/lib/cni/fake/" + request.network)) {
    std::string netns;
    std::ifstream(entry.path()) >> netns;
    const std::string name = entry.path().filename();
    const std::size_t blank = name.find(' ');
    if (fs::exists(netns) &&
        !request.is_valid_attachment(name.substr(0, blank), name.substr(blank + 1))) {
      throw Error(100, "its namespace lives");
    }
  }
}

void gc(const Request& request) {
  if (defect("CON-05")) std::abort();
  const bool dead_only = request.config.value("cni.dev/valid-attachments", json(1)).empty();
  if (defect("GC-13") && dead_only && count("gcs", 1) == 2) throw Error(100, "once too often");
  if (defect("GC-08")) delegate(request, "GC");
  if (defect("GC-11") && marks(request) > 0) refuse_the_living(request);
  const std::size_t before = marks(request);
  if (!(defect("GC-04") && dead_only)) remove_marks_of_the_dead(request);
  if (defect("GC-14") && before == marks(request) && before > 0) fs::remove(kShared);
  if (!defect("GC-08")) delegate(request, "GC");
}

}  // namespace

void release_addresses(const Request& request) {
  try {
    delegate(request, "DEL");
  } catch (const std::exception&) {
    // The first error counts.
  }
}

json main_plugin(const Request& request) {
  if (request.is("ADD")) return add(request);
  if (request.is("CHECK")) check(request);
  if (request.is("DEL")) del(request);
  if (request.is("STATUS")) status(request);
  if (request.is("GC")) gc(request);
  return {};
}

}  // namespace fake
