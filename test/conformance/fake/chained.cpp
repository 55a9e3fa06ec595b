#include <filesystem>
#include <fstream>

#include "convert.h"
#include "fake/fake.h"

namespace fake {
namespace {

namespace fs = std::filesystem;

constexpr const char* kPorts = "/var/lib/cni/fake-ports";

std::string owner(const Request& request) {
  return request.network + " " + request.id + " " + request.ifname;
}

std::vector<std::string> mapped_ports(const Request& request) {
  const json runtime = request.config.value("runtimeConfig", json());
  const json list = runtime.is_object() ? runtime.value("portMappings", json::array()) : json();
  if (!list.is_null() && !list.is_array()) throw Error(7, "portMappings is no list");
  std::vector<std::string> ports;
  for (const json& mapping : list) {
    const json port = mapping.value("hostPort", json());
    const bool fine = port.is_number_integer() && port > 0 && port < 65536;
    if (!fine) throw Error(7, "hostPort is " + port.dump());
    const std::string protocol = mapping.value("protocol", "");
    if (protocol != "tcp" && !defect("CAP-02")) throw Error(7, "protocol is " + protocol);
    ports.push_back(std::to_string(port.get<int>()));
  }
  return ports;
}

std::string holder(const fs::path& file) {
  std::string line;
  std::ifstream stream(file);
  std::getline(stream, line);
  return line;
}

void add(const Request& request) {
  fs::create_directories(kPorts);
  const auto ports = mapped_ports(request);
  for (const std::string& port : ports) {
    const fs::path file = fs::path(kPorts) / port;
    const std::string container = request.network + " " + request.id + " ";
    if (fs::exists(file) && holder(file).starts_with(container)) continue;
    if (fs::exists(file)) {
      throw Error(defect("ADD-18") ? 100 : 11, "port " + port + " is taken");
    }
    std::ofstream(file) << owner(request);
  }
  if (!ports.empty()) leave_mark(request);
}

void release_ports(const std::function<bool(const std::string&)>& is_dead) {
  if (!fs::exists(kPorts)) return;
  for (const auto& entry : fs::directory_iterator(kPorts)) {
    if (is_dead(holder(entry.path()))) fs::remove(entry.path());
  }
}

void collect(const Request& request) {
  release_ports([&](const std::string& line) {
    const std::size_t first = line.find(' ');
    const std::size_t second = line.find(' ', first + 1);
    return line.substr(0, first) == request.network &&
           !request.is_valid_attachment(line.substr(first + 1, second - first - 1),
                                        line.substr(second + 1));
  });
  remove_marks_of_the_dead(request);
}

json passed_on(const Request& request) {
  json result = request.previous_result();
  if (defect("CHN-02") && result.dump().find("tap0") == std::string::npos) result.erase("dns");
  return result;
}

}  // namespace

json chained_plugin(const Request& request) {
  lock();
  const bool looks = request.is("ADD") || request.is("CHECK");
  if (looks && !request.previous().is_object()) {
    if (defect("CHN-05") && request.is("ADD")) return json::object();
    throw Error(7, "there is no prevResult");
  }
  if (defect("CHN-08") && looks && request.previous().dump().find("tap0") != std::string::npos) {
    std::abort();
  }
  if (defect("ADD-01") && looks) return passed_on(request);
  if (request.is("ADD")) {
    add(request);
    return passed_on(request);
  }
  if (request.is("CHECK") && !mapped_ports(request).empty() && !has_mark(request)) {
    throw Error(100, "the mark is not there");
  }
  if (request.is("DEL")) {
    if (defect("DEL-12") && !request.config.contains("runtimeConfig")) return {};
    release_ports([&](const std::string& line) { return line == owner(request); });
    remove_mark(request);
  }
  if (request.is("GC")) collect(request);
  return {};
}

}  // namespace fake
