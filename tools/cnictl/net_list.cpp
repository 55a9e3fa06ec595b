#include "net_list.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <filesystem>
#include <initializer_list>

#include "base/error.h"
#include "base/file.h"
#include "base/text.h"
#include "encode.h"
#include "json/parse.h"
#include "json/reader.h"
#include "protocol/environment.h"
#include "protocol/error.h"

namespace cni::cnictl {
namespace {

namespace fs = std::filesystem;
using json::Value;

constexpr std::size_t kLongestFile = std::size_t{16} << 20U;  // bytes

[[noreturn]] void refuse(const std::string& file, const std::string& problem,
                         const std::string& details = {}) {
  throw Error(Code::kInvalidConfig, fmt::format("{}: {}", file, problem), details);
}

Value parse_object(const std::string& text, const std::string& file) {
  try {
    Value document = json::parse(text);
    if (document.is_object()) return document;
  } catch (const json::SyntaxError& error) {
    throw Error(Code::kDecodingFailure, fmt::format("{}: {}", file, error.what()));
  }
  throw Error(Code::kDecodingFailure, fmt::format("{}: the document is not an object", file));
}

// The member of exactly this name, the last of several; nullptr if it is absent or null.
const Value* find_member(const Value& object, std::string_view key) {
  const auto& members = object.get_ref<const Value::object_t&>();
  const auto found = std::find_if(members.rbegin(), members.rend(),
                                  [&](const auto& member) { return member.first == key; });
  return found == members.rend() || found->second.is_null() ? nullptr : &found->second;
}

std::string find_text(const Value& object, std::string_view key, const std::string& file) {
  const Value* value = find_member(object, key);
  if (value == nullptr) return "";
  if (!value->is_string()) refuse(file, fmt::format("key {} is not a string", in_quotes(key)));
  return value->get<std::string>();
}

// Booleans of the list may be written as text.
bool find_flag(const Value& object, std::string_view key, const std::string& file) {
  const Value* value = find_member(object, key);
  if (value == nullptr) return false;
  if (value->is_boolean()) return value->get<bool>();
  const std::string text = value->is_string() ? value->get<std::string>() : "";
  if (equal_ignoring_case(text, "true")) return true;
  if (equal_ignoring_case(text, "false")) return false;
  refuse(file, fmt::format("key {} is neither true nor false", in_quotes(key)));
}

const Value::array_t& find_list(const Value& object, std::string_view key,
                                const std::string& file) {
  static const Value::array_t kNothing;
  const Value* value = find_member(object, key);
  if (value == nullptr) return kNothing;
  if (!value->is_array()) refuse(file, fmt::format("key {} is not a list", in_quotes(key)));
  return value->get_ref<const Value::array_t&>();
}

std::vector<std::string> find_texts(const Value& object, std::string_view key,
                                    const std::string& file) {
  std::vector<std::string> texts;
  for (const Value& element : find_list(object, key, file)) {
    if (!element.is_string()) {
      refuse(file, fmt::format("key {} holds something that is not a string", in_quotes(key)));
    }
    texts.push_back(element.get<std::string>());
  }
  return texts;
}

PluginConf read_plugin(const Value& document, const std::string& file) {
  if (!document.is_object()) refuse(file, "a plugin is not an object");
  PluginConf plugin{.document = document, .type = {}, .capabilities = {}};
  const json::Reader reader(document);
  try {
    plugin.type = reader["type"].string_or("");
    for (const auto& [capability, declared] : reader["capabilities"].members()) {
      if (declared.bool_or(false)) plugin.capabilities.push_back(capability);
    }
  } catch (const json::ValueError& error) {
    refuse(file, error.what(), error.place());
  }
  if (plugin.type.empty()) refuse(file, "a plugin has no type");
  return plugin;
}

// Regular files and links with one of the extensions, in byte order; nothing without a directory.
std::vector<std::string> files_in(const std::string& directory,
                                  std::initializer_list<std::string_view> extensions) {
  std::vector<std::string> files;
  std::error_code error;
  for (fs::directory_iterator entry(directory, error), end; !error && entry != end;
       entry.increment(error)) {
    const std::string extension = entry->path().extension().string();
    const bool wanted = std::ranges::find(extensions, extension) != extensions.end();
    std::error_code ignored;
    if (wanted && !entry->is_directory(ignored)) files.push_back(entry->path().string());
  }
  const bool absent = error == std::errc::no_such_file_or_directory;
  if (error && !absent) throw IoError(error.value(), fmt::format("list {}", directory));
  std::ranges::sort(files);
  return files;
}

void append_folder(NetList& list) {
  const fs::path folder = fs::path(list.file).parent_path() / list.name;
  for (const std::string& file : files_in(folder.string(), {".conf"})) {
    const Value document = parse_object(read_file(file, kLongestFile), file);
    list.plugins.push_back(read_plugin(document, file));
  }
}

using Numbers = std::array<unsigned, 3>;

Numbers parse_numbers(const std::string& version, const std::string& file) {
  Numbers numbers{};
  const std::vector<std::string> pieces = split(version, '.');
  for (std::size_t at = 0; at < numbers.size(); ++at) {
    const auto number = pieces.size() == numbers.size() ? parse_number<unsigned>(pieces[at])
                                                        : std::optional<unsigned>();
    if (!number) refuse(file, fmt::format("invalid version {}", in_quotes(version)));
    numbers[at] = *number;
  }
  return numbers;
}

}  // namespace

Version NetList::version() const {
  const std::optional<Version> version = find_version(version_text);
  if (!version) {
    throw Error(
        Code::kIncompatibleVersion, "incompatible CNI versions",
        fmt::format("{}: cniVersion is {}, cnictl speaks {} to {}", file, in_quotes(version_text),
                    cni::text(kVersions.front()), cni::text(kNewestVersion)));
  }
  return *version;
}

std::string choose_version(const std::vector<std::string>& versions, const std::string& file) {
  std::string chosen;
  const Numbers newest = parse_numbers(std::string(text(kNewestVersion)), file);
  Numbers highest{};
  for (const std::string& version : versions) {
    const Numbers numbers = parse_numbers(version, file);
    if (numbers > newest || (!chosen.empty() && numbers <= highest)) continue;
    highest = numbers;
    chosen = version;
  }
  return chosen;
}

NetList parse_list(const std::string& text, const std::string& file) {
  const Value document = parse_object(text, file);
  NetList list;
  list.file = file;
  list.text = text;
  list.name = find_text(document, "name", file);
  if (!is_valid_identifier(list.name)) {
    refuse(file, list.name.empty() ? "the list has no name" : "the name is invalid",
           list.name.empty() ? "" : in_quotes(list.name));
  }
  list.version_text = find_text(document, "cniVersion", file);
  std::vector<std::string> versions = find_texts(document, "cniVersions", file);
  if (!versions.empty()) {
    if (!list.version_text.empty()) versions.push_back(list.version_text);
    list.version_text = choose_version(versions, file);
  }
  list.disable_check = find_flag(document, "disableCheck", file);
  list.disable_gc = find_flag(document, "disableGC", file);
  const bool only_inlined = find_flag(document, "loadOnlyInlinedPlugins", file);

  if (find_member(document, "plugins") != nullptr && find_list(document, "plugins", file).empty()) {
    refuse(file, "the list of plugins is empty");
  }
  for (const Value& plugin : find_list(document, "plugins", file)) {
    list.plugins.push_back(read_plugin(plugin, file));
  }
  if (!only_inlined) append_folder(list);
  if (list.plugins.empty()) refuse(file, "there are no plugins");
  return list;
}

NetList wrap_single(const std::string& text, const std::string& file) {
  const Value document = parse_object(text, file);
  NetList list;
  list.file = file;
  list.plugins.push_back(read_plugin(document, file));
  try {
    const json::Reader reader(document);
    list.name = reader["name"].string_or("");
    list.version_text = reader["cniVersion"].string_or("");
  } catch (const json::ValueError& error) {
    refuse(file, error.what(), error.place());
  }
  Value wrapped = Value::object();
  wrapped["name"] = list.name;
  wrapped["cniVersion"] = list.version_text;
  wrapped["plugins"] = Value::array();
  wrapped["plugins"].push_back(document);
  list.text = sorted_json(wrapped);
  return list;
}

NetList find_network(const std::string& directory, const std::string& name) {
  if (!is_valid_identifier(name)) {
    throw Error(Code::kInvalidConfig, "invalid characters found in network name", in_quotes(name));
  }
  for (const std::string& file : files_in(directory, {".conflist"})) {
    NetList list = parse_list(read_file(file, kLongestFile), file);
    if (list.name == name) return list;
  }
  for (const std::string& file : files_in(directory, {".conf", ".json"})) {
    NetList list = wrap_single(read_file(file, kLongestFile), file);
    if (list.name == name) return list;
  }
  throw Error(Code::kInvalidConfig,
              fmt::format("no network named {} in {}", in_quotes(name), directory),
              "searched *.conflist, *.conf and *.json; NETCONFPATH or --conf-dir says where");
}

}  // namespace cni::cnictl
