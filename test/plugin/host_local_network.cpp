#include "plugin/host_local_network.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <csignal>
#include <filesystem>
#include <stdexcept>
#include <thread>

namespace cni::test {
namespace {

bool is_address(const std::string& text) {
  std::array<unsigned char, 16> bytes{};
  return ::inet_pton(AF_INET, text.c_str(), bytes.data()) == 1 ||
         ::inet_pton(AF_INET6, text.c_str(), bytes.data()) == 1;
}

}  // namespace

AddressNetwork::AddressNetwork(const nlohmann::json& ipam, const std::string& version) {
  config = {{"cniVersion", version}, {"name", "net"}, {"type", "bridge"}, {"ipam", ipam}};
  config["ipam"]["type"] = "host-local-ipam";
  config["ipam"]["dataDir"] = root_ / "networks";
}

PluginOutcome AddressNetwork::call(const Call& call) const {
  return run_plugin_binary({.plugin = call.plugin,
                            .verb = call.verb,
                            .config = config.dump(),
                            .container_id = call.id,
                            .netns = call.netns,
                            .ifname = call.ifname,
                            .args = call.args,
                            .stdout_path = call.stdout_path});
}

PluginOutcome AddressNetwork::add(const std::string& id, const std::string& netns) const {
  return call({.verb = "ADD", .id = id, .netns = netns});
}

PluginOutcome AddressNetwork::del(const std::string& id) const {
  return call({.verb = "DEL", .id = id, .netns = ""});
}

PluginOutcome AddressNetwork::status() const {
  return call({.verb = "STATUS"});
}

PluginOutcome AddressNetwork::gc(
    const std::optional<std::vector<std::pair<std::string, std::string>>>& valid) const {
  nlohmann::json with_list = config;
  if (valid) {
    with_list["cni.dev/valid-attachments"] = nlohmann::json::array();
    for (const auto& [id, ifname] : *valid) {
      with_list["cni.dev/valid-attachments"].push_back({{"containerID", id}, {"ifname", ifname}});
    }
  }
  return run_plugin_binary({.plugin = "host-local-ipam", .verb = "GC", .config = with_list.dump()});
}

std::string AddressNetwork::added(const std::string& id, const std::string& netns) const {
  return added_by(Call{.verb = "ADD", .id = id, .netns = netns});
}

std::string AddressNetwork::added_by(const Call& call) const {
  const PluginOutcome outcome = this->call(call);
  if (outcome.status != 0 || !outcome.json) throw std::runtime_error(outcome.text());
  std::string addresses;
  for (const auto& ip : outcome.json->at("ips")) {
    const std::string address = ip.at("address");
    addresses += (addresses.empty() ? "" : ",") + address.substr(0, address.find('/'));
  }
  return addresses;
}

std::set<std::string> AddressNetwork::reserved() const {
  std::set<std::string> names;
  if (!std::filesystem::exists(directory())) return names;
  for (const auto& entry : std::filesystem::directory_iterator(directory())) {
    const std::string name = entry.path().filename();
    if (is_address(name)) names.insert(name);
  }
  return names;
}

std::string AddressNetwork::content(const std::string& name) const {
  return read_whole_file(directory() + "/" + name);
}

Traced run_traced(const AddressNetwork& network, const std::string& verb, Trace trace,
                  int kill_at) {
  const TempDirectory directory;
  const std::string config = directory.write("config", network.config.dump());
  const std::string path = plugin_directory() + "/host-local-ipam";
  const std::string command = "CNI_COMMAND=" + verb;
  const std::array<const char*, 6> environment = {
      command.c_str(),   "CNI_CONTAINERID=one", "CNI_NETNS=/run/netns/none",
      "CNI_IFNAME=eth0", "CNI_PATH=/",          nullptr};
  const std::array<const char*, 2> arguments = {path.c_str(), nullptr};
  const auto start = std::chrono::steady_clock::now();
  const pid_t child = ::fork();
  if (child == 0) {
    ::dup2(::open(config.c_str(), O_RDONLY), 0);
    ::dup2(::open("/dev/null", O_WRONLY), 1);
    if (trace == Trace::kYes) ::ptrace(PTRACE_TRACEME, 0, nullptr, nullptr);
    ::execve(path.c_str(), const_cast<char**>(arguments.data()),
             const_cast<char**>(environment.data()));
    ::_exit(127);
  }
  Traced traced;
  int status = 0;
  if (child < 0 || ::waitpid(child, &status, 0) != child) throw std::runtime_error("no child");
  while (WIFSTOPPED(status)) {
    if (traced.stops++ == kill_at) {
      ::kill(child, SIGKILL);
    } else {
      ::ptrace(PTRACE_SYSCALL, child, nullptr, nullptr);
    }
    if (::waitpid(child, &status, 0) != child) throw std::runtime_error("the child is lost");
  }
  traced.time = std::chrono::steady_clock::now() - start;
  if (WIFEXITED(status)) traced.status = WEXITSTATUS(status);
  return traced;
}

std::vector<PluginOutcome> call_together(const AddressNetwork& network,
                                         const std::vector<AddressNetwork::Call>& calls) {
  std::vector<PluginOutcome> outcomes(calls.size());
  std::vector<std::thread> threads;
  for (std::size_t at = 0; at < calls.size(); ++at) {
    threads.emplace_back([&, at] { outcomes[at] = network.call(calls[at]); });
  }
  for (std::thread& thread : threads) thread.join();
  return outcomes;
}

}  // namespace cni::test
