#include "options.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <filesystem>

#include "base/digest.h"
#include "base/text.h"
#include "json/parse.h"
#include "protocol/error.h"

namespace cni::cnictl {
namespace {

struct Option {
  std::string_view name;
  std::string_view short_name;  // "" for none
  std::string_view value;       // "" for a switch
  std::string_view help;
  void (*set)(Options& options, const std::string& value);
};

Attachment parse_attachment(const std::string& text) {
  const std::vector<std::string> pieces = split(text, '/');
  if (pieces.size() != 2 || pieces[0].empty() || pieces[1].empty()) {
    throw UsageError(fmt::format("--valid {}: not of the form ID/IFNAME", in_quotes(text)));
  }
  return {.container_id = pieces[0], .ifname = pieces[1]};
}

constexpr std::array kOptions = {
    Option{"--conf-dir", "", "DIR", "where configurations are (NETCONFPATH, else /etc/cni/net.d)",
           [](Options& options, const std::string& value) { options.conf_dir = value; }},
    Option{"--cni-path", "", "DIRS",
           "where plugins are, separated by ':' (CNI_PATH, else /opt/cni/bin)",
           [](Options& options, const std::string& value) {
             options.cni_path = value;
             options.cni_path_given = true;
           }},
    Option{"--cache-dir", "", "DIR", "where results are kept (/var/lib/cni)",
           [](Options& options, const std::string& value) { options.cache_dir = value; }},
    Option{"--ifname", "-i", "IFNAME", "name of the interface (CNI_IFNAME, else eth0)",
           [](Options& options, const std::string& value) { options.ifname = value; }},
    Option{"--container-id", "", "ID",
           "name of the container (CNI_CONTAINERID, else made from the path of NETNS)",
           [](Options& options, const std::string& value) { options.container_id = value; }},
    Option{"--no-rollback", "", "", "leave what a failed ADD has made",
           [](Options& options, const std::string&) { options.rollback = false; }},
    Option{"--valid", "", "ID/IFNAME",
           "an attachment in use; repeat it for more. Nothing else is looked at",
           [](Options& options, const std::string& value) {
             options.valid.push_back(parse_attachment(value));
             options.valid_given = true;
           }},
    Option{"--dry-run", "", "", "say what would go, and do nothing",
           [](Options& options, const std::string&) { options.dry_run = true; }},
    Option{"--json", "", "", "print one JSON document",
           [](Options& options, const std::string&) { options.json = true; }},
    Option{"--help", "-h", "", "this text",
           [](Options& options, const std::string&) { options.help = true; }},
};

bool takes(const Subcommand& command, const Option& option) {
  return option.name == "--json" || option.name == "--help" ||
         std::ranges::find(command.options, option.name) != command.options.end();
}

const Option& get_option(const Subcommand& command, std::string_view word) {
  const auto found = std::ranges::find_if(kOptions, [&](const Option& option) {
    return word == option.name || (!option.short_name.empty() && word == option.short_name);
  });
  if (found == kOptions.end() || !takes(command, *found)) {
    throw UsageError(fmt::format("unknown option {}", in_quotes(word)));
  }
  return *found;
}

std::string first_of(const std::string& value, const char* otherwise) {
  return value.empty() ? otherwise : value;
}

}  // namespace

Options parse_options(const Subcommand& command, std::span<const std::string> words,
                      const GetVariable& variable) {
  Options options;
  options.conf_dir = first_of(variable("NETCONFPATH"), "/etc/cni/net.d");
  options.cni_path_given = !variable("CNI_PATH").empty();
  options.cni_path = first_of(variable("CNI_PATH"), "/opt/cni/bin");
  options.cache_dir = "/var/lib/cni";
  options.ifname = first_of(variable("CNI_IFNAME"), "eth0");
  options.container_id = variable("CNI_CONTAINERID");
  options.args = variable("CNI_ARGS");
  options.cap_args = variable("CAP_ARGS");

  bool only_arguments = false;
  for (std::size_t at = 0; at < words.size(); ++at) {
    const std::string& word = words[at];
    if (only_arguments || word.size() < 2 || word[0] != '-') {
      options.arguments.push_back(word);
      continue;
    }
    if (word == "--") {
      only_arguments = true;
      continue;
    }
    const std::size_t equals = word.starts_with("--") ? word.find('=') : std::string::npos;
    const Option& option = get_option(command, word.substr(0, equals));
    std::string value;
    if (equals != std::string::npos) {
      if (option.value.empty()) throw UsageError(fmt::format("{} takes no value", option.name));
      value = word.substr(equals + 1);
    } else if (!option.value.empty()) {
      if (++at == words.size()) {
        throw UsageError(fmt::format("{} needs a value, {}", option.name, option.value));
      }
      value = words[at];
    }
    option.set(options, value);
  }
  if (options.help) return options;
  if (options.arguments.size() < command.least_arguments) {
    throw UsageError(
        fmt::format("an argument is missing: cnictl {} {}", command.name, command.arguments));
  }
  if (options.arguments.size() > command.most_arguments) {
    throw UsageError(fmt::format("one argument too many: {}",
                                 in_quotes(options.arguments[command.most_arguments])));
  }
  return options;
}

std::string command_help(const Subcommand& command) {
  std::string text = fmt::format("usage: cnictl {}{}{} [option...]\n\n{}\n\n{}\n\nOptions:\n",
                                 command.name, command.arguments.empty() ? "" : " ",
                                 command.arguments, command.summary, command.help);
  for (const Option& option : kOptions) {
    if (!takes(command, option)) continue;
    const std::string words =
        fmt::format("{}{}{}{}{}", option.short_name, option.short_name.empty() ? "" : ", ",
                    option.name, option.value.empty() ? "" : " ", option.value);
    text += fmt::format("  {:<23}  {}\n", words, option.help);
  }
  return text;
}

json::Value parse_capability_args(const std::string& given) {
  if (given.empty()) return json::Value::object();
  try {
    json::Value document = json::parse(given);
    if (document.is_object()) return document;
  } catch (const json::SyntaxError& error) {
    throw UsageError(fmt::format("CAP_ARGS: {}", error.what()));
  }
  throw UsageError("CAP_ARGS is not a JSON object");
}

std::vector<std::pair<std::string, std::string>> parse_args(const std::string& given) {
  std::vector<std::pair<std::string, std::string>> pairs;
  if (given.empty()) return pairs;
  for (const std::string& piece : split(given, ';')) {
    const std::vector<std::string> sides = split(piece, '=');
    if (sides.size() != 2) {
      throw UsageError(fmt::format("CNI_ARGS: invalid pair {}", in_quotes(piece)));
    }
    pairs.emplace_back(sides[0], sides[1]);
  }
  return pairs;
}

std::string netns_path(const std::string& netns) {
  if (netns.find('/') == std::string::npos) return fmt::format("/run/netns/{}", netns);
  std::string path = std::filesystem::absolute(netns).lexically_normal().string();
  if (path.size() > 1 && path.ends_with('/')) path.pop_back();
  return path;
}

std::string derived_container_id(const std::string& path) {
  constexpr std::size_t kDigits = 20;  // of the first 10 bytes
  return fmt::format("cnitool-{}", sha512_hex(path, kDigits));
}

Target target_of(const Options& options) {
  const std::string netns = netns_path(options.arguments.at(1));
  return {
      .attachment = {.container_id = options.container_id.empty() ? derived_container_id(netns)
                                                                  : options.container_id,
                     .ifname = options.ifname},
      .netns = netns,
      .args = parse_args(options.args),
      .capability_args = parse_capability_args(options.cap_args),
  };
}

Target cached_target_of(const Options& options, const NetList& list, const Cache& cache) {
  Target target = target_of(options);
  const std::optional<CachedAttachment> cached = cache.find(list.name, target.attachment);
  if (cached && options.args.empty()) target.args = cached->args;
  if (cached && options.cap_args.empty()) target.capability_args = cached->capability_args;
  return target;
}

NetList network_of(const Options& options) {
  return find_network(options.conf_dir, options.arguments.at(0));
}

Runtime runtime_of(const Options& options) {
  return {options.cni_path, Cache(options.cache_dir)};
}

}  // namespace cni::cnictl
