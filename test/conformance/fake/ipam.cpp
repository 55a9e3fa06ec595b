#include <arpa/inet.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <filesystem>
#include <fstream>
#include <optional>

#include "fake/fake.h"

namespace fake {
namespace {

namespace fs = std::filesystem;

struct Range {
  std::uint32_t first, last, gateway;
  std::string prefix;
};

std::uint32_t number(const std::string& text) {
  in_addr address{};
  if (::inet_pton(AF_INET, text.c_str(), &address) != 1) throw Error(7, "no address: " + text);
  return ntohl(address.s_addr);
}

std::string text(std::uint32_t value) {
  const in_addr address{htonl(value)};
  char buffer[INET_ADDRSTRLEN];
  return ::inet_ntop(AF_INET, &address, buffer, sizeof buffer);
}

std::string without_prefix(const std::string& address) {
  return address.substr(0, address.find('/'));
}

Range parse_range(const json& range) {
  const std::string subnet = range.at("subnet");
  const std::size_t slash = subnet.find('/');
  if (slash == std::string::npos) throw Error(7, "no network: " + subnet);
  const std::uint32_t network = number(subnet.substr(0, slash));
  const unsigned length = static_cast<unsigned>(std::stoi(subnet.substr(slash + 1)));
  const std::uint32_t broadcast = network | (0xffffffffU >> length);
  return {.first = number(range.value("rangeStart", text(network + 1))),
          .last = number(range.value("rangeEnd", text(broadcast - 1))),
          .gateway = number(range.value("gateway", text(network + 1))),
          .prefix = subnet.substr(slash)};
}

std::vector<Range> ranges(const Request& request) {
  const json& ipam = request.config.at("ipam");
  json all = json::array();
  if (request.config.contains("runtimeConfig") &&
      !(defect("CAP-03") && request.input.find("10.97") != std::string::npos)) {
    for (const json& set : request.config["runtimeConfig"].value("ipRanges", json::array())) {
      all.push_back(set);
    }
  }
  for (const json& set : ipam.at("ranges")) all.push_back(set);
  if (all.empty()) throw Error(7, "there are no ranges");
  if (request.version < "0.3.0" && all.size() > 1 && !defect("IPM-10")) {
    throw Error(7, "one range in this version");
  }
  std::vector<Range> list;
  for (const json& set : all) list.push_back(parse_range(set.at(0)));
  return list;
}

std::string folder(const Request& request) {
  return "/var/lib/cni/networks/" + (defect("IPM-06") ? "all" : request.network);
}

std::string owner(const Request& request) {
  return request.id + "\r\n" + request.ifname;
}

std::string content(const fs::path& path) {
  std::ifstream file(path);
  return {std::istreambuf_iterator<char>(file), {}};
}

bool is_address(const fs::path& path) {
  in_addr ignored{};
  return ::inet_pton(AF_INET, path.filename().c_str(), &ignored) == 1;
}

void release(const Request& request, const std::function<bool(const std::string&)>& is_dead) {
  if (!fs::exists(folder(request))) return;
  for (const auto& entry : fs::directory_iterator(folder(request))) {
    const bool ours = is_address(entry.path()) || defect("GC-12");
    if (ours && is_dead(content(entry.path()))) fs::remove(entry.path());
  }
}

bool reserved(const Request& request) {
  if (!fs::exists(folder(request))) return false;
  const auto files = fs::directory_iterator(folder(request));
  return std::any_of(begin(files), end(files), [&](const auto& entry) {
    return is_address(entry.path()) && content(entry.path()) == owner(request);
  });
}

std::optional<std::uint32_t> find_free(const Request& request, const Range& range) {
  for (std::uint32_t address = range.first; address <= range.last; ++address) {
    if (address != range.gateway && !fs::exists(folder(request) + "/" + text(address))) {
      return address;
    }
  }
  return std::nullopt;
}

void add_requests(const json& list, std::vector<std::string>& wanted) {
  if (!list.is_array()) throw Error(7, "ips is " + list.dump());
  for (const std::string address : list) wanted.push_back(without_prefix(address));
}

std::string requested_by_variable(const Request& request) {
  bool tolerant = false;
  std::string unknown, address;
  for (std::size_t start = 0; start < request.args.size();) {
    const std::size_t end = std::min(request.args.find(';', start), request.args.size());
    const std::string pair = request.args.substr(start, end - start);
    start = end + 1;
    if (pair.find('=') == std::string::npos) throw Error(7, "CNI_ARGS has " + pair);
    if (pair.starts_with("IP=")) {
      address = without_prefix(pair.substr(3));
    } else if (pair == "IgnoreUnknown=1") {
      tolerant = true;
    } else {
      unknown = pair;
    }
  }
  const bool refused = !unknown.empty() && !tolerant && !defect("ARG-01");
  if (refused) throw Error(7, "CNI_ARGS has " + unknown);
  return address;
}

std::vector<std::string> requests(const Request& request) {
  std::vector<std::string> wanted;
  const json& config = request.config;
  if (config.contains("runtimeConfig") &&
      !(defect("CAP-06") && request.input.find("10.77.0.2") != std::string::npos)) {
    add_requests(config["runtimeConfig"].value("ips", json::array()), wanted);
  }
  const json args = config.value("args", json());
  const json cni = args.is_object() ? args.value("cni", json()) : json();
  const bool by_args =
      cni.is_object() && cni.contains("ips") && !(defect("ARG-03") && request.args.empty());
  const std::string by_variable = requested_by_variable(request);
  if (!by_variable.empty() && (!by_args || defect("ARG-02"))) {
    wanted.push_back(by_variable);
  } else if (by_args) {
    add_requests(cni["ips"], wanted);
  }
  for (const std::string& address : wanted) number(address);
  return wanted;
}

std::uint32_t choose(const Request& request, const Range& range) {
  for (const std::string& wanted : requests(request)) {
    const std::uint32_t address = number(wanted);
    if (address >= range.first && address <= range.last) return address;
  }
  const auto found = find_free(request, range);
  if (!found) throw Error(100, "no free address");
  return *found;
}

json add(const Request& request) {
  const auto list = ranges(request);
  fs::create_directories(folder(request));
  if (reserved(request)) throw Error(100, "this attachment has an address");
  json result = {{"ips", json::array()},
                 {"routes", request.config["ipam"].value("routes", json::array())}};
  if (!result["routes"].is_array()) throw Error(7, "routes is no list");
  if (defect("IPM-01")) result["routes"] = json::array();
  try {
    for (const Range& range : list) {
      const std::string address = text(choose(request, range));
      if (defect("IPM-08")) ::usleep(20'000);
      std::ofstream(folder(request) + "/" + address) << owner(request);
      json entry = {{"address", address + range.prefix}, {"gateway", text(range.gateway)}};
      if (defect("IPM-02")) entry["interface"] = 0;
      result["ips"].push_back(entry);
    }
  } catch (const Error&) {
    if (!defect("IPM-09")) {
      release(request, [&](const std::string& line) { return line == owner(request); });
    }
    throw;
  }
  return result;
}

void check_settings(const Request& request) {
  const json ipam = request.config.value("ipam", json());
  if (!ipam.is_object()) throw Error(7, "ipam is no object");
  if (!ipam.value("ranges", json()).is_array()) throw Error(7, "ranges is no list");
}

void status(const Request& request) {
  if (defect("IPM-11")) return;
  for (const Range& range : ranges(request)) {
    if (!find_free(request, range)) throw Error(defect("STA-05") ? 100 : 50, "no free address");
  }
}

}  // namespace

json ipam_plugin(const Request& request) {
  if (!defect("IPM-08")) lock();
  const auto own = [&](const std::string& line) { return line == owner(request); };
  if (request.is("DEL")) {
    if (defect("DEL-09") && request.input.find("rangeEnd") != std::string::npos) return {};
    if (!(defect("IPM-05") && !fs::exists(request.netns))) release(request, own);
    return {};
  }
  if (defect("IPM-04") && !request.config.contains("ipam")) return json::object();
  if (!request.is("GC")) check_settings(request);
  if (request.is("ADD")) return add(request);
  if (request.is("CHECK") && !reserved(request) && !defect("IPM-07") && !defect("CHK-06")) {
    throw Error(100, "there is no reservation");
  }
  if (request.is("STATUS")) status(request);
  if (request.is("GC")) {
    release(request, [&](const std::string& line) {
      const std::size_t end = line.find("\r\n");
      return end == std::string::npos
                 ? defect("GC-12")
                 : !request.is_valid_attachment(line.substr(0, end), line.substr(end + 2));
    });
  }
  return {};
}

}  // namespace fake
