#include "protocol/environment.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <vector>

#include "base/text.h"
#include "protocol/error.h"

namespace cni {
namespace {

constexpr std::array kCommands = {Command::kAdd, Command::kCheck,  Command::kDel,
                                  Command::kGc,  Command::kStatus, Command::kVersion};

bool is_alphanumeric(char byte) {
  return (byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z') ||
         (byte >= '0' && byte <= '9');
}

void check_container_id(const std::string& id) {
  if (!is_valid_identifier(id)) {
    throw Error(Code::kInvalidEnvironment, "invalid characters in containerID",
                fmt::format("CNI_CONTAINERID is {}", in_quotes(id)));
  }
}

// The blanks of Unicode that are longer than a byte.
bool has_unicode_blank(std::string_view text) {
  constexpr std::array<std::string_view, 20> kBlanks = {
      "\u0085", "\u00a0", "\u1680", "\u2000", "\u2001", "\u2002", "\u2003",
      "\u2004", "\u2005", "\u2006", "\u2007", "\u2008", "\u2009", "\u200a",
      "\u2028", "\u2029", "\u202f", "\u205f", "\u3000", "\ufeff"};
  return std::ranges::any_of(
      kBlanks, [&](std::string_view blank) { return text.find(blank) != std::string::npos; });
}

void check_ifname(const std::string& name, bool makes_interface) {
  const auto refuse = [&](const char* message, const std::string& details) {
    throw Error(Code::kInvalidEnvironment, message, details);
  };
  const std::string given = fmt::format("CNI_IFNAME is {}", in_quotes(name));
  if (name.size() > 15) {
    refuse("interface name is too long",
           "interface name should be less than 16 characters; " + given);
  }
  if (name == "." || name == "..") refuse("interface name is . or ..", given);
  const bool bad_byte = std::ranges::any_of(
      name, [](char byte) { return byte == '/' || byte == ':' || (byte >= 0 && byte <= ' '); });
  if (bad_byte || has_unicode_blank(name)) {
    refuse("interface name contains / or : or whitespace characters", given);
  }
  // What the kernel would expand ('%'), take for a group of sysctls, or print unreadably.
  const bool unprintable = std::ranges::any_of(name, [](char byte) {
    return byte == '%' || byte == '"' || byte == '\'' || byte == '\\' || byte == 0x7f;
  });
  if (unprintable || valid_utf8(name) != name || name == "all" || name == "default" ||
      (makes_interface && name == "lo")) {
    refuse("interface name is not usable", given);
  }
}

bool is_true(const std::string& text) {
  return text == "1" || equal_ignoring_case(text, "true");
}

}  // namespace

std::string_view text(Command command) {
  switch (command) {
    case Command::kAdd:
      return "ADD";
    case Command::kCheck:
      return "CHECK";
    case Command::kDel:
      return "DEL";
    case Command::kGc:
      return "GC";
    case Command::kStatus:
      return "STATUS";
    case Command::kVersion:
      return "VERSION";
  }
  return "";
}

Environment read_environment(const GetVariable& variable, bool makes_interface) {
  const Environment environment = {
      .command = variable("CNI_COMMAND"),
      .container_id = variable("CNI_CONTAINERID"),
      .netns = variable("CNI_NETNS"),
      .ifname = variable("CNI_IFNAME"),
      .args = variable("CNI_ARGS"),
      .path = variable("CNI_PATH"),
      .netns_override = is_true(variable("CNI_NETNS_OVERRIDE")),
  };
  const bool attachment = environment.command == "ADD" || environment.command == "CHECK" ||
                          environment.command == "DEL";
  const bool needs_netns = environment.command == "ADD" || environment.command == "CHECK";

  std::vector<std::string> missing;
  if (environment.command.empty()) missing.emplace_back("CNI_COMMAND");
  if (attachment) {
    if (environment.container_id.empty()) {
      missing.emplace_back("CNI_CONTAINERID");
    } else {
      check_container_id(environment.container_id);
    }
  }
  if (needs_netns && environment.netns.empty()) missing.emplace_back("CNI_NETNS");
  if (attachment) {
    if (environment.ifname.empty()) {
      missing.emplace_back("CNI_IFNAME");
    } else {
      check_ifname(environment.ifname, makes_interface);
    }
  }
  // The other commands need CNI_PATH only if they have to find a delegate.
  if (environment.command == "GC" && environment.path.empty()) missing.emplace_back("CNI_PATH");

  if (!missing.empty()) {
    throw Error(Code::kInvalidEnvironment,
                fmt::format("required env variables [{}] missing", fmt::join(missing, ",")));
  }
  return environment;
}

Command parse_command(const std::string& given) {
  const auto found =
      std::ranges::find(kCommands, given, [](Command command) { return text(command); });
  if (found == kCommands.end()) {
    throw Error(Code::kInvalidEnvironment, fmt::format("unknown CNI_COMMAND: {}", cut(given)));
  }
  return *found;
}

bool is_valid_identifier(std::string_view text) {
  if (text.empty() || !is_alphanumeric(text.front())) return false;
  return std::ranges::all_of(text, [](char byte) {
    return is_alphanumeric(byte) || byte == '_' || byte == '.' || byte == '-';
  });
}

}  // namespace cni
