// A network of addresses for the tests of host-local-ipam: its configuration, calls, and the files
// it leaves.
#pragma once

#include <chrono>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "support/plugin_run.h"
#include "support/sandbox.h"

namespace cni::test {

// The Go suite's plugin, where Debian's package containernetworking-plugins puts it.
inline constexpr const char* kGoHostLocal = "/usr/lib/cni/host-local";

// 13 addresses to give.
inline const nlohmann::json kSmall = {{"subnet", "10.1.2.0/28"}};
inline constexpr int kSize = 13;

class AddressNetwork {
 public:
  // `ipam` is JSON for the ipam object, without type and dataDir.
  explicit AddressNetwork(const nlohmann::json& ipam, const std::string& version = "1.1.0");

  // The configuration; change it at will.
  nlohmann::json config;

  // Where the reservations are.
  std::string directory() const { return data_dir() + "/net"; }
  // Where the index is.
  std::string own_directory() const { return data_dir() + "/.plumb/net"; }
  std::string data_dir() const { return config["ipam"]["dataDir"]; }

  struct Call {
    std::string verb;
    std::string id = "c1";
    std::string ifname = "eth0";
    std::string netns = "/run/netns/none";
    std::string args = {};
    std::string plugin = "host-local-ipam";
    std::string stdout_path = {};
  };
  PluginOutcome call(const Call& call) const;

  PluginOutcome add(const std::string& id, const std::string& netns = "/run/netns/none") const;
  PluginOutcome del(const std::string& id) const;
  PluginOutcome status() const;
  // `valid` are pairs of container ID and interface; nothing: no list.
  PluginOutcome gc(
      const std::optional<std::vector<std::pair<std::string, std::string>>>& valid) const;

  // The addresses of a successful ADD without their prefix lengths, joined by ","; throws with the
  // whole outcome if it failed.
  std::string added(const std::string& id, const std::string& netns = "/run/netns/none") const;
  std::string added_by(const Call& call) const;

  // The addresses that have a file.
  std::set<std::string> reserved() const;
  std::string content(const std::string& name) const;

 private:
  TempDirectory root_;
};

struct Traced {
  // How often the kernel was entered or left.
  int stops = 0;
  std::chrono::nanoseconds time{};
  // Exit status; -1 if a signal ended it.
  int status = -1;
};

enum class Trace { kNo, kYes };

// Runs one call of container "one" as a child, by ptrace(2) if wanted; and kills it when the kernel
// is entered or left for the `kill_at`th time.
Traced run_traced(const AddressNetwork& network, const std::string& verb, Trace trace,
                  int kill_at = -1);

// Runs all calls at the same time, each on a thread.
std::vector<PluginOutcome> call_together(const AddressNetwork& network,
                                         const std::vector<AddressNetwork::Call>& calls);

}  // namespace cni::test
