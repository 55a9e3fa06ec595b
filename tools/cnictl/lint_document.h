// Everything that is wrong in one configuration file.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "finding.h"
#include "json/reader.h"

namespace cni::cnictl {

struct LintContext {
  std::string file;      // its name tells how a runtime reads it
  std::string cni_path;  // "": do not look for binaries
};

std::vector<Finding> lint_document(const std::string& text, const LintContext& context);

// The parts, in the order in which they run. Each takes what it can read and passes over the rest.

// lint_document.cpp: one plugin object, by itself.
void lint_plugin(const json::Reader& plugin, const LintContext& context, Findings& findings);

// lint_network.cpp: addresses, ranges and routes, and keys that do not go together.
void lint_plugin_values(const json::Reader& plugin, Findings& findings);

// lint_chain.cpp: name and versions, and the order of the plugins. `document` is a list, or a
// single plugin, which is then the only one of `plugins`.
void lint_chain(const json::Reader& document, const std::vector<json::Reader>& plugins,
                Findings& findings);

// For checks of values whose type was checked, and reported, elsewhere: what `read` returns, or an
// empty value if what it reads has the wrong type or form.
template <typename Read>
auto readable(Read read) -> decltype(read()) {
  try {
    return read();
  } catch (const json::ValueError&) {
    return {};
  }
}

}  // namespace cni::cnictl
