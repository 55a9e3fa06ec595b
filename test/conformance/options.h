// The command line.
#pragma once

#include <string>
#include <vector>

namespace conformance {

struct Options {
  std::string plugins;                // --plugins
  std::vector<std::string> only;      // --plugin; empty: all that are there and known
  std::vector<std::string> versions;  // --spec
  std::vector<std::string> clauses;   // --clause: ids, or their beginnings such as GEN
  bool json = false;
  bool list = false;
  bool help = false;
};

// Throws std::runtime_error with what is wrong.
Options parse_options(const std::vector<std::string>& words);

extern const char* const kUsage;

}  // namespace conformance
