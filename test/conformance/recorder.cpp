#include "recorder.h"

#include <fcntl.h>
#include <fmt/format.h>

#include <algorithm>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <iterator>

#include "convert.h"
#include "fd.h"

extern char** environ;  // NOLINT: unistd.h has it for _GNU_SOURCE only

namespace conformance {
namespace {

using nlohmann::json;
namespace fs = std::filesystem;
using nlohmann::literals::operator""_json;

std::string variable(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? "" : value;
}

// The path of a file that only this call has, "<prefix><number>" from `first` on.
std::string claim(const std::string& prefix, int first, const std::string& content) {
  for (int number = first; number < 100'000; ++number) {
    const std::string path = prefix + std::to_string(number);
    const Fd file(::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
    if (!file) continue;
    check(::write(file.get(), content.data(), content.size()), "write " + path);
    return path;
  }
  throw std::runtime_error("no free number for " + prefix);
}

void record(const std::string& directory, const std::string& input,
            const std::vector<int>& descriptors) {
  json call = {{"verb", variable("CNI_COMMAND")},
               {"input", input},
               {"descriptors", descriptors},
               {"netns", fs::read_symlink("/proc/self/ns/net").string()},
               {"environment", json::object()}};
  for (char** entry = environ; *entry != nullptr; ++entry) {
    const std::string text = *entry;
    const std::size_t equals = text.find('=');
    call["environment"][text.substr(0, equals)] = text.substr(equals + 1);
  }
  claim(directory + "/records/", 10'000, call.dump(-1, ' ', true, json::error_handler_t::replace));
}

std::string owner(const json& config) {
  return fmt::format("{} {} {}", config.value("name", ""), variable("CNI_CONTAINERID"),
                     variable("CNI_IFNAME"));
}

json lease(const std::string& directory, const json& config) {
  const std::string path = claim(directory + "/leases/10.88.0.", 2, owner(config));
  const std::string address = fs::path(path).filename();
  json result = R"({"cniVersion": "1.1.0", "ips": [{"gateway": "10.88.0.1"}],
                    "routes": [{"dst": "0.0.0.0/0", "gw": "10.88.0.1"}]})"_json;
  result["ips"][0]["address"] = address + "/24";
  return result;
}

void release(const std::string& directory, const json& config) {
  for (const auto& entry : fs::directory_iterator(directory + "/leases")) {
    std::ifstream file(entry.path());
    std::string content;
    std::getline(file, content);
    if (content == owner(config)) fs::remove(entry.path());
  }
}

void print_result(const json& config, const json& script, json result) {
  const std::string wanted = config.value("cniVersion", "0.1.0");
  const std::string version = script.value("version", wanted);
  result = converted(result, version.empty() ? wanted : version);
  if (result.contains("interfaces")) result.erase("interfaces");
  if (version.empty()) result.erase("cniVersion");
  std::cout << result.dump();
}

std::vector<int> open_descriptors() {
  std::vector<int> list;
  for (int fd = 0; fd < 1024; ++fd) {
    if (::fcntl(fd, F_GETFD) != -1) list.push_back(fd);
  }
  return list;
}

json read_json(const std::string& path) {
  std::ifstream file(path);
  return file ? json::parse(file, nullptr, false) : json::object();
}

}  // namespace

int play_recorder(const std::string& program) {
  const std::vector<int> descriptors = open_descriptors();
  const std::string directory = fs::path(program).parent_path() / ".recorder";
  const std::string input{std::istreambuf_iterator<char>(std::cin), {}};
  record(directory, input, descriptors);
  const std::string verb = variable("CNI_COMMAND");
  const json config = json::parse(input, nullptr, false);
  const json script = read_json(directory + "/script").value(verb, json::object());
  if (script.value("killed", false)) std::raise(SIGKILL);
  std::cerr << script.value("err", "");
  if (script.contains("out")) {
    std::cout << script["out"].get<std::string>();
  } else if (verb == "ADD") {
    print_result(config, script,
                 script.contains("result") ? script["result"] : lease(directory, config));
  } else if (verb == "DEL") {
    release(directory, config);
  }
  std::cout.flush();
  return script.value("status", 0);
}

Recorder::Recorder(std::string directory) : directory_(std::move(directory)) {
  fs::create_directories(directory_ + "/.recorder/records");
  fs::create_directories(directory_ + "/.recorder/leases");
  const std::string program = directory_ + "/" + kRecorderName;
  fs::copy_file("/proc/self/exe", program);
  fs::permissions(program, fs::perms(0755));
}

void Recorder::change_script(const std::string& verb, const json& reply) const {
  const std::string path = directory_ + "/.recorder/script";
  json script = read_json(path);
  script[verb] = reply;
  std::ofstream(path) << script.dump();
}

void Recorder::answer(const std::string& verb, const Reply& reply) const {
  change_script(
      verb,
      {{"status", reply.status}, {"out", reply.out}, {"err", reply.err}, {"killed", reply.killed}});
}

void Recorder::fail(const std::string& verb, unsigned code, const std::string& message) const {
  const json error = {{"cniVersion", "1.0.0"}, {"code", code}, {"msg", message}};
  answer(verb, {.status = 1, .out = error.dump()});
}

void Recorder::give(const json& result, const std::optional<std::string>& version) const {
  json script = {{"result", result}};
  if (version) script["version"] = *version;
  change_script("ADD", script);
}

void Recorder::answer_as_usual() const {
  fs::remove(directory_ + "/.recorder/script");
}

std::vector<Recorder::Call> Recorder::calls() const {
  std::vector<std::string> paths;
  for (const auto& entry : fs::directory_iterator(directory_ + "/.recorder/records")) {
    paths.push_back(entry.path());
  }
  std::ranges::sort(paths);
  std::vector<Call> calls;
  for (const std::string& path : paths) {
    const json call = read_json(path);
    calls.push_back({call.at("verb"), call.at("environment"), call.at("input"),
                     call.at("descriptors"), call.at("netns")});
  }
  return calls;
}

std::vector<std::string> Recorder::verbs() const {
  std::vector<std::string> list;
  for (const Call& call : calls()) list.push_back(call.verb);
  return list;
}

std::size_t Recorder::count(const std::string& verb) const {
  return static_cast<std::size_t>(std::ranges::count(verbs(), verb));
}

void Recorder::forget_calls() const {
  for (const auto& entry : fs::directory_iterator(directory_ + "/.recorder/records")) {
    fs::remove(entry.path());
  }
}

}  // namespace conformance
