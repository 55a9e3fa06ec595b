#include "options.h"

#include <algorithm>
#include <stdexcept>

#include "spec.h"

namespace conformance {

const char* const kUsage = R"(cni-conformance --plugins DIR [--plugin NAME]... [--spec VERSION]...
                [--clause ID]... [--json]
cni-conformance --list

Tries what the CNI specification wants of plugins on those in a folder, from outside, in namespaces
of its own: nothing of the machine is changed. Prints a line for each clause and plugin: passed,
failed, or not applicable and why; then totals. Exits with 1 after any failure.

  --plugins DIR    the folder
  --plugin NAME    only this plugin of it
  --spec VERSION   only this version; otherwise the newest a clause and a plugin know, or all that
                   they know where versions differ
  --clause ID      only this clause, or those of a group such as GEN
  --json           a JSON document instead of lines
  --list           the clauses this program can try
)";

Options parse_options(const std::vector<std::string>& words) {
  Options options;
  for (std::size_t i = 0; i < words.size(); ++i) {
    const std::string& word = words[i];
    const auto value = [&] {
      if (++i == words.size()) throw std::runtime_error(word + " wants a value");
      return words[i];
    };
    if (word == "--plugins") {
      options.plugins = value();
    } else if (word == "--plugin") {
      options.only.push_back(value());
    } else if (word == "--spec") {
      options.versions.push_back(value());
    } else if (word == "--clause") {
      options.clauses.push_back(value());
    } else if (word == "--json") {
      options.json = true;
    } else if (word == "--list") {
      options.list = true;
    } else if (word == "--help" || word == "-h") {
      options.help = true;
    } else {
      throw std::runtime_error("what is " + word + "?");
    }
  }
  for (const std::string& version : options.versions) {
    if (std::ranges::find(spec::kVersions, version) == spec::kVersions.end()) {
      throw std::runtime_error("there is no version " + version);
    }
  }
  if (options.plugins.empty() && !options.list && !options.help) {
    throw std::runtime_error("--plugins is missing");
  }
  return options;
}

}  // namespace conformance
