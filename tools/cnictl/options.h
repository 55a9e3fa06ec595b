// The command line and the environment of cnictl.
#pragma once

#include <functional>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "net_list.h"
#include "protocol/environment.h"
#include "runtime.h"

namespace cni::cnictl {

// The call itself is wrong: exit status 2.
class UsageError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

struct Options {
  std::vector<std::string> arguments = {};
  std::string conf_dir = {};
  std::string cni_path = {};
  bool cni_path_given = false;
  std::string cache_dir = {};
  std::string container_id = {};  // "" if it is to be derived
  std::string ifname = {};
  std::string args = {};      // CNI_ARGS
  std::string cap_args = {};  // CAP_ARGS
  std::vector<Attachment> valid = {};
  bool valid_given = false;
  bool dry_run = false;
  bool rollback = true;
  bool json = false;
  bool help = false;
};

struct Subcommand {
  std::string_view name;
  std::string_view arguments;  // for the usage line
  std::size_t least_arguments;
  std::size_t most_arguments;
  std::string_view summary;  // one line
  std::string_view help;     // paragraphs
  // Those of option_names() that it takes, beside --json and --help.
  std::vector<std::string_view> options;
  // Returns the exit status: 0, or 1 if it found errors.
  int (*run)(const Options& options);
};

// Reads the words after the command's name. Throws UsageError.
Options parse_options(const Subcommand& command, std::span<const std::string> words,
                      const GetVariable& variable);

// "usage: cnictl add ..." and all about one command.
std::string command_help(const Subcommand& command);

// CAP_ARGS as an object. Throws UsageError.
json::Value parse_capability_args(const std::string& text);

// CNI_ARGS as pairs. Throws UsageError unless every piece between semicolons has exactly one '='.
std::vector<std::pair<std::string, std::string>> parse_args(const std::string& text);

// The absolute path of a namespace. A word without a slash is a name below /run/netns.
std::string netns_path(const std::string& netns);

// How cnitool names the container of a namespace that it knows by its path.
std::string derived_container_id(const std::string& path);

// Of the arguments NETWORK and NETNS.
Target target_of(const Options& options);
// For the verbs after ADD: without CNI_ARGS or CAP_ARGS, what ADD got counts again.
Target cached_target_of(const Options& options, const NetList& list, const Cache& cache);
NetList network_of(const Options& options);
Runtime runtime_of(const Options& options);

}  // namespace cni::cnictl
