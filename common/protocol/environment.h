// The CNI_* variables of a call, checked as the CNI spec and the Go suite's dispatcher do.
#pragma once

#include <functional>
#include <string>
#include <string_view>

namespace cni {

enum class Command { kAdd, kCheck, kDel, kGc, kStatus, kVersion };

std::string_view text(Command command);

struct Environment {
  std::string command;       // CNI_COMMAND as given; may be none of ours
  std::string container_id;  // CNI_CONTAINERID
  std::string netns;         // CNI_NETNS, a path
  std::string ifname;        // CNI_IFNAME
  std::string args;          // CNI_ARGS
  std::string path;          // CNI_PATH
  bool netns_override;       // CNI_NETNS_OVERRIDE: CNI_NETNS may be the plugin's own namespace
};

// The value of a variable, "" if it is unset.
using GetVariable = std::function<std::string(const char* name)>;

// Throws Error 4: at once for the first invalid value, in the end one that lists all that is
// missing for the command. An unknown command needs nothing. `makes_interface`: CNI_IFNAME may not
// be one that every namespace has.
Environment read_environment(const GetVariable& variable, bool makes_interface);

// Throws Error 4 if it is none of ours.
Command parse_command(const std::string& text);

// A container ID or a network name (CNI spec 1.1.0): a letter or digit, then letters, digits, '_',
// '.', '-'.
bool is_valid_identifier(std::string_view text);

}  // namespace cni
