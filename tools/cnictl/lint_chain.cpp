// What concerns a list as a whole: its name, its versions and the order of its plugins.
#include <fmt/format.h>

#include <algorithm>

#include "base/text.h"
#include "lint_document.h"
#include "lint_keys.h"
#include "net_list.h"
#include "protocol/environment.h"
#include "protocol/error.h"
#include "protocol/version.h"

namespace cni::cnictl {
namespace {

void check_name(const json::Reader& document, Findings& findings) {
  if (document["name"].present() && !document["name"].value().is_string()) return;
  const std::string name = document["name"].string_or("");
  if (name.empty()) {
    findings.error("name", "the network has no name");
    return;
  }
  if (!is_valid_identifier(name)) {
    findings.error("name",
                   fmt::format("{} is no valid name: a letter or digit, then letters, digits, '_', "
                               "'.' and '-'",
                               in_quotes(name)));
  }
}

std::string known_versions() {
  std::vector<std::string_view> known;
  for (const Version each : kVersions) known.push_back(text(each));
  return fmt::format("{}", fmt::join(known, ", "));
}

void check_version(const json::Reader& version, Findings& findings) {
  const std::string given = readable([&] { return version.string_or(""); });
  if (given.empty() || find_version(given)) return;
  findings.error(version.path(), fmt::format("{} is no version that is supported: {}",
                                             in_quotes(given), known_versions()));
}

// One of several: a runtime passes over those that are newer than itself.
void check_offered(const json::Reader& version, Findings& findings) {
  const std::string given = readable([&] { return version.string_or(""); });
  if (find_version(given) && !given.empty()) return;
  try {
    const bool newer = choose_version({given}, "").empty();
    if (newer) return;
  } catch (const Error&) {
    // Not three numbers; a wrong type is reported elsewhere.
    if (version.present() && !version.value().is_string()) return;
  }
  findings.error(version.path(),
                 fmt::format("{} was never a version: {}", in_quotes(given), known_versions()));
}

// The version that a runtime will speak; nothing if that cannot be told.
std::optional<Version> find_spoken(const json::Reader& document) {
  try {
    std::vector<std::string> versions = document["cniVersions"].strings();
    const std::string single = document["cniVersion"].string_or("");
    if (versions.empty()) return find_version(single);
    if (!single.empty()) versions.push_back(single);
    return find_version(choose_version(versions, ""));
  } catch (const json::ValueError&) {
    return std::nullopt;
  } catch (const Error&) {
    return std::nullopt;
  }
}

void check_versions(const json::Reader& document, Findings& findings) {
  check_version(document["cniVersion"], findings);
  for (const json::Reader& version : readable([&] { return document["cniVersions"].elements(); })) {
    check_offered(version, findings);
  }
  const bool none = readable([&] { return document["cniVersion"].string_or(""); }).empty() &&
                    readable([&] { return document["cniVersions"].elements(); }).empty();
  if (none && !document["cniVersion"].present()) {
    findings.warning("cniVersion", "it is missing, which means version 0.1.0",
                     fmt::format("add \"cniVersion\": \"{}\"", text(kNewestVersion)));
    return;
  }
  const std::optional<Version> spoken = find_spoken(document);
  if (spoken && *spoken < Version::k0_4_0) {
    findings.hint("cniVersion", "before 0.4.0 there is no CHECK, and DEL gets no previous result");
  }
  if (spoken && *spoken < Version::k1_1_0) {
    findings.hint("cniVersion", "before 1.1.0 there is no GC and no STATUS");
  }
}

const KnownPlugin* known_type(const json::Reader& plugin) {
  return find_known_plugin(readable([&] { return plugin["type"].string_or(""); }));
}

// Needs nothing before it, and passes the result of what was before it on.
bool passes_on(const json::Reader& plugin) {
  const std::string type = readable([&] { return plugin["type"].string_or(""); });
  return type == "loopback" || type == "ipvlan";
}

void check_order(const std::vector<json::Reader>& plugins, Findings& findings) {
  for (std::size_t at = 0; at < plugins.size(); ++at) {
    const KnownPlugin* known = known_type(plugins[at]);
    if (known == nullptr) continue;
    const std::string& type = known->types.front();
    if (known->role == Role::kChained && at == 0) {
      findings.error(
          plugins[at].path(),
          fmt::format("{} changes an interface, and no plugin before it makes one", type));
    }
    if (known->role == Role::kIpam) {
      findings.warning(
          plugins[at].path(),
          fmt::format("{} chooses addresses for other plugins and makes no interface", type),
          "name it in \"ipam\" of the plugin that makes the interface");
    }
    if (known->role == Role::kInterface && at > 0 && !passes_on(plugins[at])) {
      findings.warning(plugins[at].path(),
                       fmt::format("{} makes an interface and drops what the plugins before it "
                                   "reported",
                                   type),
                       "put it first");
    }
  }
}

}  // namespace

void lint_chain(const json::Reader& document, const std::vector<json::Reader>& plugins,
                Findings& findings) {
  check_name(document, findings);
  check_versions(document, findings);
  check_order(plugins, findings);
}

}  // namespace cni::cnictl
