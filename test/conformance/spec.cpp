#include "spec.h"

#include <map>
#include <string_view>
#include <utility>

namespace conformance::spec {

// Made by embed.cmake: paths below cni-spec/ and the texts of the files.
extern const std::vector<std::pair<std::string_view, std::string_view>> kFiles;

namespace {

std::map<std::string, nlohmann::json> files_below(const std::string& folder) {
  std::map<std::string, nlohmann::json> files;
  for (const auto& [path, text] : kFiles) {
    if (path.starts_with(folder)) {
      files[std::string(path.substr(folder.size()))] = nlohmann::json::parse(text);
    }
  }
  return files;
}

}  // namespace

const std::vector<Clause>& clauses() {
  static const std::vector<Clause> all = [] {
    std::vector<Clause> list;
    const auto tables = files_below("clauses.json");
    for (const nlohmann::json& entry : tables.at("")) {
      list.push_back({entry.at("id"), entry.at("since"), entry.at("until"), entry.at("level"),
                      entry.at("obligation"), entry.at("by"), entry.value("reason", "")});
    }
    return list;
  }();
  return all;
}

const nlohmann::json& schema(const std::string& file) {
  static const auto files = files_below("schema/");
  return files.at(file);
}

const std::map<std::string, nlohmann::json>& error_vectors() {
  static const auto files = files_below("vectors/error/");
  return files;
}

const nlohmann::json& schema_vectors() {
  static const auto files = files_below("vectors/schema.json");
  return files.at("");
}

}  // namespace conformance::spec
