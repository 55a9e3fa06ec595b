// The CNI_* variables: command, container ID, namespace, interface, arguments, path and override,
// one after the other.

#include "protocol/environment.h"

#include <algorithm>
#include <map>
#include <string>

#include "base/text.h"
#include "delegation/find_plugin.h"
#include "fuzz/input.h"
#include "fuzz/oracle.h"
#include "fuzz/targets.h"

namespace cni::fuzz {
namespace {

void check_attachment(const Environment& environment) {
  const std::string& id = environment.container_id;
  require(is_valid_identifier(id) && id.find('/') == std::string::npos && !id.starts_with('.'),
          "a container ID can be a file name");
  const std::string& ifname = environment.ifname;
  require(!ifname.empty() && ifname.size() <= 15 && ifname != "." && ifname != "..",
          "an interface name has its length");
  require(valid_utf8(ifname) == ifname, "an interface name is UTF-8");
  require(std::ranges::none_of(ifname,
                               [](char byte) {
                                 return byte == '/' || byte == ':' || byte == '%' ||
                                        (byte >= 0 && byte <= ' ');
                               }),
          "an interface name is one the kernel takes");
}

}  // namespace

void environment(std::string_view input) {
  Pieces pieces(input);
  std::map<std::string, std::string> variables;
  for (const char* name : {"CNI_COMMAND", "CNI_CONTAINERID", "CNI_NETNS", "CNI_IFNAME", "CNI_ARGS",
                           "CNI_PATH", "CNI_NETNS_OVERRIDE"}) {
    variables[name] = pieces.text();
  }
  const bool makes_interface = pieces.byte() != 0;
  Environment environment{};
  const auto read = [&] {
    environment =
        read_environment([&](const char* name) { return variables.at(name); }, makes_interface);
  };
  if (!accepts(read, {Code::kInvalidEnvironment})) return;
  const std::string& command = environment.command;
  const bool known = accepts([&] { parse_command(command); }, {Code::kInvalidEnvironment});
  if (known) require(text(parse_command(command)) == command, "a command keeps its name");
  if (command == "ADD" || command == "CHECK" || command == "DEL") check_attachment(environment);
  // What is looked for lies in no folder.
  const auto find = [&] {
    delegation::find_plugin(environment.args, environment.path, "ipam.type");
  };
  accepts(find, {Code::kInvalidEnvironment, Code::kInvalidConfig});
}

}  // namespace cni::fuzz
