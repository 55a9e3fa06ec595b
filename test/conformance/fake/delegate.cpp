#include "fake/delegate.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <filesystem>
#include <iostream>
#include <sstream>

#include "bench.h"
#include "convert.h"

extern char** environ;  // NOLINT: unistd.h has it for _GNU_SOURCE only

namespace fake {
namespace {

namespace fs = std::filesystem;

std::string find(const Request& request) {
  const json ipam = request.config.value("ipam", json());
  if (!ipam.is_object()) throw Error(7, "ipam is no object");
  const std::string type = ipam.value("type", "");
  const bool path = type.empty() || type.find('/') != std::string::npos;
  if (path && !defect("DLG-09")) throw Error(7, "ipam.type is " + type);
  std::istringstream folders(request.path);
  for (std::string folder; std::getline(folders, folder, ':');) {
    const std::string file = folder + "/" + type;
    if (defect("DLG-01") ? fs::exists(file) : fs::is_regular_file(file)) return file;
  }
  throw Error(request.is("STATUS") ? 50 : 100, "there is no " + type + " in " + request.path);
}

Environment environment(const std::string& verb) {
  Environment all;
  for (char** entry = environ; *entry != nullptr; ++entry) {
    const std::string text = *entry;
    const std::string name = text.substr(0, text.find('='));
    const bool own = name.starts_with("CNI_") || name == "PATH";
    if (defect("GEN-23") && !own) continue;
    if (defect("DLG-02") && name == "ODD") continue;
    all[name] = text.substr(name.size() + 1);
  }
  all["CNI_COMMAND"] = verb;
  return all;
}

std::string input(const Request& request, const std::string& verb) {
  json config = json::parse(request.input);
  if (defect("DLG-03") || (defect("STA-06") && verb == "STATUS")) config.erase("unheard-of");
  if (defect("GC-09")) config.erase("cni.dev/valid-attachments");
  return config.dump();
}

[[noreturn]] void carry_error(const conformance::Outcome& outcome, const std::string& verb) {
  const json error = json::parse(outcome.out, nullptr, false);
  const bool readable = error.is_object() && error.contains("code");
  if (!readable) throw Error(100, "the IPAM plugin fails: " + outcome.text());
  int code = error["code"];
  if (defect("STA-03") && code == 51) code = 50;
  if (defect("DLG-08") || (defect("DEL-11") && verb == "DEL")) code = 999;
  throw Error(code, defect("STA-07") ? "the IPAM plugin fails" : error.value("msg", ""));
}

json read_result(const Request& request, const std::string& out) {
  json result = json::parse(out, nullptr, defect("DLG-13"));
  const int code = defect("ERR-07") ? 11 : 100;
  if (!result.is_object()) throw Error(code, "the IPAM plugin says " + out);
  if (defect("DLG-10") && !result.contains("cniVersion")) throw Error(100, "no cniVersion");
  for (const char* list : {"ips", "routes"}) {
    if (!result.value(list, json::array()).is_array()) throw Error(100, "no list: " + out);
  }
  result = conformance::in_newest(result);
  for (json& address : result["ips"]) address.erase("version");
  const bool bare = defect("DLG-11") || (defect("RES-02") && request.version < "0.3.0");
  if (result["ips"].empty() && !bare) throw Error(100, "the IPAM plugin gives no address");
  return result;
}

}  // namespace

json delegate(const Request& request, const std::string& verb) {
  conformance::Program program{
      .argv = {find(request)}, .environment = environment(verb), .input = input(request, verb)};
  if (defect("DLG-12")) {
    program.prepare = [] {
      if (::open("/", O_RDONLY) < 0) ::_exit(1);
    };
  }
  const conformance::Outcome outcome = conformance::run(program);
  if (!defect("DLG-04")) std::cerr << outcome.err;
  if (outcome.status != 0) carry_error(outcome, verb);
  return verb == "ADD" ? read_result(request, outcome.out) : json();
}

}  // namespace fake
