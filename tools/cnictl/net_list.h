// Network configuration lists, found and read as libcni does.
//
// Keys of the list itself match exactly, keys of a plugin in any letter case: libcni decodes the
// first into a map and the second into a structure.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "json/value.h"
#include "protocol/version.h"

namespace cni::cnictl {

struct PluginConf {
  json::Value document;                   // the plugin's object as it was written
  std::string type;                       // not empty
  std::vector<std::string> capabilities;  // those declared true
};

struct NetList {
  std::string name;
  std::string version_text;  // the version to speak; may be empty
  bool disable_check = false;
  bool disable_gc = false;
  std::vector<PluginConf> plugins;  // at least one
  std::string file;                 // where it was read
  std::string text;                 // the list as one document, for the cache

  // Throws Error 1 if version_text is none that we can speak.
  Version version() const;
};

// A list from the text of a .conflist file. Unless it says loadOnlyInlinedPlugins, the files *.conf
// in the folder `file` is in, below a folder named like the network, are further plugins of it.
//
// Throws Error 6 for text that is no JSON, Error 7 for what cannot be a list. Messages begin with
// the file.
NetList parse_list(const std::string& text, const std::string& file);

// A list of one from the text of a .conf or .json file, with that plugin's name and version.
NetList wrap_single(const std::string& text, const std::string& file);

// The network `name` in `directory`: the first *.conflist file in byte order, else the first *.conf
// or *.json file. A file before it that cannot be read ends the search with an error, since it
// might be the one that is meant. Throws Error 5, 6 or 7.
NetList find_network(const std::string& directory, const std::string& name);

// The highest of `versions` that is not above the newest one we speak; "" for none at all. Throws
// Error 7 for text that is not three numbers.
std::string choose_version(const std::vector<std::string>& versions, const std::string& file);

}  // namespace cni::cnictl
