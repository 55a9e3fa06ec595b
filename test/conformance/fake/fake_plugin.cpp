// The common part of the fake plugins. The file name chooses the plugin, a file "defect" beside it
// the defect.
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <map>

#include "bench.h"
#include "convert.h"
#include "fake/fake.h"
#include "spec.h"

namespace fake {
namespace {

namespace fs = std::filesystem;

std::string chosen_defect;

std::string variable(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? "" : value;
}

bool is_identifier(const std::string& text) {
  const auto allowed = [](char byte) {
    return std::isalnum(static_cast<unsigned char>(byte)) != 0 || byte == '_' || byte == '.' ||
           byte == '-';
  };
  return !text.empty() && std::isalnum(static_cast<unsigned char>(text.front())) != 0 &&
         std::ranges::all_of(text, allowed);
}

bool is_interface_name(const std::string& text) {
  return text.size() <= 15 && text != "." && text != ".." &&
         text.find_first_of("/: \t\n\v\f\r") == std::string::npos;
}

std::string family(const std::string& version) {
  if (version < "0.3.0") return "0.1.0";
  return version < "1.0.0" ? "0.3.0" : "1.0.0";
}

void check_values(const Request& request) {
  const bool fine =
      request.id.empty() || is_identifier(request.id) || (defect("GEN-05") && request.id != "-");
  if (!fine) throw Error(4, "CNI_CONTAINERID is " + request.id);
  const bool named =
      is_interface_name(request.ifname) || (defect("GEN-08") && request.ifname == "a:b");
  if (!named) throw Error(4, "CNI_IFNAME is " + request.ifname);
}

void check_environment(Request& request) {
  const bool attachment = request.is("ADD") || request.is("CHECK") || request.is("DEL");
  std::vector<std::string> missing;
  if (attachment && request.id.empty() && !(defect("GEN-04") && !request.netns.empty())) {
    missing.emplace_back("CNI_CONTAINERID");
  }
  if (attachment && !request.is("DEL") && request.netns.empty() &&
      !(defect("GEN-06") && !request.id.empty())) {
    missing.emplace_back("CNI_NETNS");
  }
  if (attachment && request.ifname.empty()) missing.emplace_back("CNI_IFNAME");
  if (request.is("GC") && request.path.empty() && !defect("GEN-10"))
    missing.emplace_back("CNI_PATH");
  if (defect("GEN-13") && missing.size() > 1) missing.resize(1);
  if (!missing.empty()) throw Error(4, fmt::format("missing: {}", fmt::join(missing, ", ")));
  if (attachment) check_values(request);
  const bool set = std::getenv("CNI_CONTAINERID") != nullptr;
  if (defect("GEN-12") && request.is("STATUS") && set) throw Error(4, "CNI_CONTAINERID is empty");
}

std::string read_input() {
  std::string text;
  char buffer[65536];
  while (true) {
    const ssize_t size = ::read(0, buffer, sizeof buffer);
    if (size < 0 && defect("GEN-14")) break;
    if (size < 0 && ::fcntl(0, F_GETFL) == -1) throw Error(6, "stdin is closed");
    if (size < 0) throw Error(5, "cannot read stdin");
    if (size == 0) break;
    text.append(buffer, static_cast<std::size_t>(size));
    if (defect("GEN-03")) break;
  }
  return text;
}

// Members of the top in lower case where that is how they are known.
json with_known_keys(const json& config) {
  json made = json::object();
  for (const auto& [key, value] : config.items()) {
    std::string lower = key;
    std::ranges::transform(lower, lower.begin(),
                           [](unsigned char byte) { return std::tolower(byte); });
    const std::string known = lower == "cniversion" ? "cniVersion" : lower == "name" ? "name" : key;
    if (!value.is_null()) made[defect("CFG-05") ? key : known] = value;
  }
  return made;
}

json parse_config(const std::string& text) {
  const int code = defect("GEN-15") ? 7 : 6;
  json config = json::parse(text, nullptr, false);
  const bool torn = config.is_discarded() && text.size() > 20 && !text.ends_with('}');
  if (defect("ERR-10") && torn && !text.ends_with('x')) std::abort();
  if (config.is_discarded() || !config.is_object() || text.starts_with("\xef\xbb\xbf")) {
    throw Error(code, "this is no configuration: " + text);
  }
  return with_known_keys(config);
}

void check_keys(const Request& request) {
  const json& config = request.config;
  if (defect("CFG-01") && config.contains("unheard-of")) throw Error(7, "what is unheard-of?");
  if (defect("VER-11") && config.contains("cniVersions")) throw Error(7, "what is cniVersions?");
  const json args = config.value("args", json::object());
  if (defect("CFG-02") && args.contains("x")) throw Error(7, "what is args.x?");
  if (defect("ARG-04") && args.contains("labels")) throw Error(7, "what is args.labels?");
  const bool listed = config.contains("cni.dev/attachments") && request.is("ADD");
  if (defect("CFG-04") && listed) throw Error(7, "what are attachments here?");
  const bool escaped = request.input.find("\\ud83d") != std::string::npos;
  if (defect("CFG-06") && escaped) throw Error(6, "what is this escape?");
}

void read_name(Request& request) {
  const json name = request.config.value("name", json(""));
  if (!name.is_string()) throw Error(6, "the name is " + name.dump());
  request.network = name;
  if (request.network.empty()) throw Error(defect("GEN-16") ? 6 : 7, "the network has no name");
  const bool fine = is_identifier(request.network) || (defect("GEN-17") && request.network != "-");
  if (!fine) throw Error(7, "the name is " + request.network);
}

void read_version(Request& request) {
  const json version = request.config.value("cniVersion", json("0.1.0"));
  if (!version.is_string()) throw Error(6, "cniVersion is " + version.dump());
  std::string text = version;
  if (text.empty()) text = "0.1.0";
  if (!request.config.contains("cniVersion") && defect("VER-07")) text = "1.1.0";
  if (defect("VER-06") && text == "1.0") text = "1.0.0";
  if (defect("VER-03") && text == "2.0.0") text = "1.1.0";
  if (std::ranges::find(conformance::spec::kVersions, text) == conformance::spec::kVersions.end()) {
    throw Error(1, "cniVersion is " + text);
  }
  request.version = text;
}

void check_command(const Request& request) {
  const bool old_check = request.is("CHECK") && request.version < "0.4.0" && !defect("VER-09");
  const bool newest = request.is("GC") || request.is("STATUS");
  const bool old_gc = newest && request.version < "1.1.0" && !defect("VER-10");
  if (old_check || old_gc) throw Error(1, "there is no " + request.verb + " in " + request.version);
}

void check_previous(const Request& request) {
  const json previous = request.previous();
  if (previous.is_null() || request.is("DEL")) return;
  if (!previous.is_object()) throw Error(7, "prevResult is no object");
  const std::string version = previous.value("cniVersion", request.version);
  const bool fine = family(version) == family(request.version) || defect("CHN-06");
  if (!fine) throw Error(7, "prevResult is of " + version);
  const bool unheard = previous.dump().find("unheard-of") != std::string::npos;
  if (defect("CHN-09") && unheard) throw Error(7, "what is unheard-of in prevResult?");
}

void check_own_netns(const Request& request) {
  struct stat own{}, given{};
  const bool attachment = request.is("ADD") || request.is("CHECK");
  if (!attachment || ::stat("/proc/self/ns/net", &own) != 0 ||
      ::stat(request.netns.c_str(), &given) != 0) {
    return;
  }
  if (own.st_ino == given.st_ino && own.st_dev == given.st_dev) {
    throw Error(8, "CNI_NETNS is the plugin's own");
  }
}

void print_versions() {
  const std::string input = [] {
    struct stat status{};
    if (::fstat(0, &status) != 0) return std::string();
    ::fcntl(0, F_SETFL, O_NONBLOCK);
    ::usleep(20'000);
    char buffer[65536];
    const ssize_t size = ::read(0, buffer, sizeof buffer);
    return std::string(buffer, size > 0 ? static_cast<std::size_t>(size) : 0);
  }();
  const json config = json::parse(input, nullptr, false);
  if (defect("VER-05") && config.is_discarded() && !input.empty()) throw Error(6, "garbage");
  const std::string asked = config.is_object() ? config.value("cniVersion", "") : "";
  json answer = {{"cniVersion", asked.empty() || defect("VER-04") ? "1.1.0" : asked},
                 {"supportedVersions", conformance::spec::kVersions}};
  if (defect("VER-02")) answer["extra"] = 1;
  if (defect("VER-12")) std::ofstream("/var/lib/cni/fake-version").close();
  std::cout << answer.dump() << '\n';
}

// What is left of the shapes of older versions is broken here.
json in_version(const Request& request, json result) {
  const std::string& version = request.version;
  result = conformance::converted(conformance::in_newest(result), version);
  for (const char* list : {"interfaces", "routes"}) {
    if (result.contains(list) && result[list].empty()) result.erase(list);
  }
  if (defect("ADD-04")) result.erase("cniVersion");
  if (defect("VER-08") && version == "0.3.1") result["cniVersion"] = "0.3.0";
  if (defect("IPM-03") && version == "1.1.0") result["cniVersion"] = "1.0.0";
  if (defect("RES-01") && version == "1.1.0") result["extra"] = "";
  if (defect("RES-03") && version == "0.3.0") result["ip"] = json::array();
  if (defect("RES-13") && version == "0.4.0") {
    std::reverse(result["routes"].begin(), result["routes"].end());
  }
  static json none = json::array();
  for (json& address : result.contains("ips") ? result["ips"] : none) {
    if (defect("RES-04") && version == "0.4.0") address["version"] = "6";
    if (defect("RES-05") && version == "1.1.0") address["version"] = "4";
  }
  for (json& route : result.contains("routes") ? result["routes"] : none) {
    if (defect("RES-09") && version == "0.4.0") route["gw"] = "fd00:88::1";
  }
  return result;
}

bool print(const std::string& text) {
  return ::write(1, text.data(), text.size()) == static_cast<ssize_t>(text.size());
}

void run_command(Plugin plugin, Request& request) {
  check_environment(request);
  request.input = read_input();
  request.config = parse_config(request.input);
  read_name(request);
  const bool early = defect("GEN-20") && request.is("ADD") && plugin == main_plugin;
  if (early) release_addresses(request);
  read_version(request);
  check_command(request);
  if (defect("GEN-09") && request.is("CHECK") && request.args.empty()) {
    throw Error(4, "CNI_ARGS is missing");
  }
  const bool unset = request.is("GC") && std::getenv("CNI_CONTAINERID") == nullptr;
  if (defect("GEN-11") && unset) throw Error(4, "CNI_CONTAINERID is missing");
  if (defect("GC-01") && request.is("GC") && variable("PATH").empty()) throw Error(4, "no PATH");
  check_keys(request);
  check_previous(request);
  if (plugin != ipam_plugin) check_own_netns(request);
  const json result = plugin(request);
  if (request.is("ADD") && !print(in_version(request, result).dump())) {
    Request back = request;
    back.verb = "DEL";
    if (!defect("ADD-11")) plugin(back);
    throw Error(5, "cannot write stdout");
  }
  if (defect("DEL-07") && request.is("DEL")) print("{}");
  if (defect("CHK-02") && request.is("CHECK")) print(request.previous().dump());
  if (defect("STA-01") && request.is("STATUS")) print("{}");
  if (defect("GC-10") && request.is("GC")) print("{}");
}

int fail(const Request& request, int code, const std::string& message) {
  const std::string version =
      request.version.empty() || defect("ERR-08") ? "1.0.0" : request.version;
  json error = {{"cniVersion", version}, {"code", code}, {"msg", message}};
  if (defect("ERR-02")) error["extra"] = 1;
  std::string text = error.dump(2, ' ', false, json::error_handler_t::replace);
  if (defect("ERR-09") && message.find("a\"b") != std::string::npos) {
    text =
        fmt::format(R"({{"cniVersion": "{}", "code": {}, "msg": "{}"}})", version, code, message);
  }
  const bool late = message.starts_with("the IPAM plugin says") && request.version == "0.4.0";
  if (defect("ERR-01") && late) {
    std::cerr << text;
  } else {
    print(text);
  }
  return defect("GEN-02") && request.network.empty() && request.config.contains("name") ? 0 : 1;
}

Plugin find_plugin(const std::string& name) {
  static const std::map<std::string, Plugin> all = {{"bridge", main_plugin},
                                                    {"host-local", ipam_plugin},
                                                    {"portmap", chained_plugin},
                                                    {"loopback", loopback_plugin}};
  return all.at(name);
}

int play(const std::string& path, int arguments) {
  std::ifstream(fs::path(path).parent_path() / "defect") >> chosen_defect;
  Request request;
  request.verb = variable("CNI_COMMAND");
  request.id = variable("CNI_CONTAINERID");
  request.netns = variable("CNI_NETNS");
  request.ifname = variable("CNI_IFNAME");
  request.args = variable("CNI_ARGS");
  request.path = variable("CNI_PATH");
  if (defect("GEN-01") && request.verb == "add") request.verb = "ADD";
  if (defect("GEN-06") && request.ifname.empty() && !request.id.empty()) request.ifname = "eth0";
  try {
    if (defect("GEN-22") && arguments > 1) throw Error(4, "what are these arguments?");
    if (defect("GEN-21") && ::write(2, "hello\n", 6) != 6) throw Error(5, "cannot write stderr");
    if (defect("GEN-18") && variable("DEBUG") == "1") print("debugging\n");
    const std::vector<std::string> verbs = {"ADD", "CHECK", "DEL", "STATUS", "GC"};
    if (request.is("VERSION")) {
      if (defect("VER-01") && request.path.empty()) throw Error(4, "CNI_PATH is missing");
      print_versions();
      return 0;
    }
    if (std::ranges::find(verbs, request.verb) == verbs.end()) {
      throw Error(4, "CNI_COMMAND is " + request.verb);
    }
    run_command(find_plugin(fs::path(path).filename()), request);
    return 0;
  } catch (const Error& error) {
    return fail(request, error.code, error.what());
  } catch (const json::exception& error) {
    if (defect("DLG-13")) std::abort();
    return fail(request, 7, error.what());
  } catch (const std::exception& error) {
    return fail(request, 100, error.what());
  }
}

}  // namespace

bool defect(const char* clause) {
  return chosen_defect == clause;
}

json Request::previous_result() const {
  json result = conformance::in_newest(previous());
  for (json& address : result["ips"]) address.erase("version");
  return result;
}

bool Request::is_valid_attachment(const std::string& container,
                                  const std::string& interface) const {
  json list = config.value("cni.dev/valid-attachments", json());
  if (list.is_null() && !defect("GC-03")) list = config.value("cni.dev/attachments", json());
  if (list.is_null()) return defect("GC-07");
  const char* key = defect("GC-02") ? "containerId" : "containerID";
  return std::ranges::any_of(list, [&](const json& one) {
    return one.value(key, "") == container &&
           (one.value("ifname", "") == interface || defect("GC-05"));
  });
}

}  // namespace fake

int main(int arguments, char** words) {
  return fake::play(words[0], arguments);
}
