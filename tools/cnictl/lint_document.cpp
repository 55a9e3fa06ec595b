#include "lint_document.h"

#include <fmt/format.h>
#include <sys/stat.h>

#include <algorithm>

#include "base/text.h"
#include "delegation/find_plugin.h"
#include "json/parse.h"
#include "lint_keys.h"
#include "lint_shape.h"
#include "nearest.h"
#include "protocol/error.h"

namespace cni::cnictl {
namespace {

using json::Value;

std::string below(const std::string& path, std::string_view key) {
  return path.empty() ? std::string(key) : fmt::format("{}.{}", path, key);
}

// Every object, known or not: no key twice, whatever its letter case.
void check_repeated(const Value& value, const std::string& path, Findings& findings) {
  if (value.is_array()) {
    for (std::size_t at = 0; at < value.size(); ++at) {
      check_repeated(value[at], fmt::format("{}[{}]", path, at), findings);
    }
  }
  if (!value.is_object()) return;
  const auto& members = value.get_ref<const Value::object_t&>();
  for (auto member = members.begin(); member != members.end(); ++member) {
    const auto same = std::find_if(members.begin(), member, [&](const auto& earlier) {
      return equal_ignoring_case(earlier.first, member->first);
    });
    if (same != member) {
      findings.error(
          below(path, member->first),
          same->first == member->first
              ? std::string("the key is there twice, and the last one counts")
              : fmt::format("it is the key {} in another letter case", in_quotes(same->first)));
    }
    check_repeated(member->second, below(path, member->first), findings);
  }
}

std::string nearest_type(const std::string& type) {
  const std::vector<std::string> known = known_types();
  const auto nearest =
      find_known_plugin(type) != nullptr ? std::nullopt : find_nearest(type, known);
  return nearest ? fmt::format("did you mean {}?", in_quotes(*nearest)) : "";
}

bool is_directory(const std::string& path) {
  struct stat status{};
  return ::stat(path.c_str(), &status) == 0 && S_ISDIR(status.st_mode);
}

void check_binary(const json::Reader& type, const std::string& cni_path, Findings& findings) {
  const std::string name = readable([&] { return type.string_or(""); });
  const auto directories = split(cni_path, ':');
  // On a machine without plugins there is nothing to find.
  if (name.empty() || !std::ranges::any_of(directories, is_directory)) return;
  try {
    delegation::find_plugin(name, cni_path, type.path());
  } catch (const Error& error) {
    findings.error(type.path(), error.what(), nearest_type(name));
  }
}

void check_capabilities(const json::Reader& plugin, Findings& findings) {
  const std::string type = readable([&] { return plugin["type"].string_or(""); });
  const KnownPlugin* known = find_known_plugin(type);
  const KnownPlugin* ipam =
      find_known_plugin(readable([&] { return plugin["ipam"]["type"].string_or(""); }));
  const bool has_ipam = readable([&] { return plugin["ipam"].present(); });
  const auto lists = [](const KnownPlugin* owner, const std::string& name) {
    return owner != nullptr &&
           std::ranges::find(owner->capabilities, name) != owner->capabilities.end();
  };
  for (const auto& [name, declared] : readable([&] { return plugin["capabilities"].members(); })) {
    if (std::ranges::find(known_capabilities(), name) == known_capabilities().end()) {
      const auto nearest = find_nearest(name, known_capabilities());
      findings.warning(declared.path(), "no runtime has data for a capability of this name",
                       nearest ? fmt::format("did you mean {}?", in_quotes(*nearest)) : "");
      continue;
    }
    const bool all_known = known != nullptr && (!has_ipam || ipam != nullptr);
    if (all_known && !lists(known, name) && !lists(ipam, name)) {
      findings.hint(declared.path(), fmt::format("{} does nothing with this capability", type));
    }
  }
}

Shape ipam_shape(const KnownPlugin& ipam) {
  std::vector<Key> keys = {{"type", text_value(), true}};
  keys.insert(keys.end(), ipam.keys.begin(), ipam.keys.end());
  return object(std::move(keys));
}

// The keys of "ipam" belong to the plugin it names.
void check_ipam(const json::Reader& plugin, const KnownPlugin* known, Findings& findings) {
  const json::Reader ipam = plugin["ipam"];
  const std::string type = readable([&] { return ipam["type"].string_or(""); });
  if (ipam.present() && !ipam.value().is_object()) {
    findings.error(ipam.path(), "it has to be an object");
    return;
  }
  if (known != nullptr && known->ipam == IpamUse::kRequired && type.empty()) {
    findings.error(ipam.path(), fmt::format("{} needs an ipam with a type", known->types.front()));
  }
  if (!ipam.present()) return;
  const KnownPlugin* owner = find_known_plugin(type);
  if (owner != nullptr && owner->role == Role::kIpam) {
    check_shape(ipam, ipam_shape(*owner), type, findings);
  } else if (owner != nullptr) {
    findings.error(below(ipam.path(), "type"), fmt::format("{} is no IPAM plugin", type));
  } else if (!type.empty()) {
    findings.hint(
        ipam.path(),
        fmt::format("{} is not known here, so its keys were not checked", in_quotes(type)),
        nearest_type(type));
  } else {
    check_shape(ipam["type"], text_value(), "ipam", findings);
  }
}

void check_keys(const json::Reader& plugin, const std::string& type, Findings& findings) {
  const KnownPlugin* known = find_known_plugin(type);
  std::vector<Key> keys = common_keys();
  if (known == nullptr) {
    // Only what every plugin has in common.
    for (const Key& key : keys) {
      check_shape(plugin[key.name], key.shape(), "a plugin", findings);
    }
    if (!type.empty()) {
      findings.hint(
          plugin.path(),
          fmt::format("{} is not known here, so its keys were not checked", in_quotes(type)),
          nearest_type(type));
    }
    return;
  }
  if (known->role == Role::kIpam || known->ipam != IpamUse::kNone) {
    keys.push_back({"ipam", anything()});
  }
  if (known->role != Role::kIpam) keys.insert(keys.end(), known->keys.begin(), known->keys.end());
  check_shape(plugin, object(std::move(keys)), type, findings);
}

std::string extension(const std::string& file) {
  const std::size_t dot = file.rfind('.');
  return dot == std::string::npos ? "" : file.substr(dot);
}

void check_file_name(const std::string& file, bool is_list, Findings& findings) {
  const std::string given = extension(file);
  if (is_list && given != ".conflist") {
    findings.warning("", "runtimes read a list only from a file named *.conflist");
  } else if (!is_list && given != ".conf" && given != ".json" && given != ".conflist") {
    findings.warning("", "runtimes read a single plugin only from a file named *.conf or *.json");
  }
}

void lint_list(const Value& root, const LintContext& context, Findings& findings) {
  const json::Reader document(root);
  check_shape(document, list_shape(), "a list", findings);
  const std::vector<json::Reader> plugins =
      readable([&] { return document["plugins"].elements(); });
  const bool is_list = document["plugins"].present() && document["plugins"].value().is_array();
  if (plugins.empty() && (is_list || !document["plugins"].present())) {
    findings.error("plugins", "a list needs at least one plugin");
  }
  lint_chain(document, plugins, findings);
  for (const json::Reader& plugin : plugins) lint_plugin(plugin, context, findings);
}

void lint_object(const Value& root, const LintContext& context, Findings& findings) {
  const json::Reader document(root);
  check_repeated(root, "", findings);
  const bool is_list = document["plugins"].present() || extension(context.file) == ".conflist";
  check_file_name(context.file, is_list, findings);
  if (is_list) {
    lint_list(root, context, findings);
  } else {
    lint_chain(document, {document}, findings);
    lint_plugin(document, context, findings);
  }
}

}  // namespace

void lint_plugin(const json::Reader& plugin, const LintContext& context, Findings& findings) {
  if (!plugin.present() || !plugin.value().is_object()) {
    findings.error(plugin.path(), "a plugin has to be an object");
    return;
  }
  const std::string type = readable([&] { return plugin["type"].string_or(""); });
  if (find_known_plugin(type) == nullptr && !plugin["type"].present()) {
    findings.error(below(plugin.path(), "type"),
                   "the plugin has no type, so nothing can be called");
  } else if (plugin["type"].value().is_string() && type.empty()) {
    findings.error(below(plugin.path(), "type"), "the type is empty, so nothing can be called");
  }
  check_keys(plugin, type, findings);
  check_ipam(plugin, find_known_plugin(type), findings);
  check_capabilities(plugin, findings);
  check_binary(plugin["type"], context.cni_path, findings);
  const json::Reader ipam = plugin["ipam"];
  if (ipam.present() && ipam.value().is_object()) {
    check_binary(ipam["type"], context.cni_path, findings);
  }
  lint_plugin_values(plugin, findings);
}

std::vector<Finding> lint_document(const std::string& text, const LintContext& context) {
  Findings findings;
  try {
    const Value root = json::parse(text);
    if (root.is_object()) {
      lint_object(root, context, findings);
    } else {
      findings.error("", "the document is not an object");
    }
  } catch (const json::SyntaxError& error) {
    findings.error("", error.what());
  }
  return findings.all();
}

}  // namespace cni::cnictl
