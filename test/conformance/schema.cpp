#include "schema.h"

#include <fmt/format.h>

#include <algorithm>
#include <functional>
#include <map>
#include <regex>

#include "spec.h"

namespace conformance {
namespace {

using nlohmann::json;
using Fault = std::optional<std::string>;

// One document under one schema; `file` is where "#/..." leads to.
struct Place {
  const json& schema;
  const std::string& file;
  const json& document;
  std::string path;

  Fault fault(const std::string& text) const {
    return fmt::format("{}: {}", path.empty() ? "the document" : path, text);
  }
  Place with(const json& part) const { return {part, file, document, path}; }
  Place at(const json& part, const json& member, const std::string& name) const {
    return {part, file, member, path + "/" + name};
  }
};

Fault validate(const Place& place);

bool has_type(const json& document, const std::string& type) {
  if (type == "object") return document.is_object();
  if (type == "array") return document.is_array();
  if (type == "string") return document.is_string();
  if (type == "boolean") return document.is_boolean();
  if (type == "null") return document.is_null();
  if (type == "integer") return document.is_number_integer();
  throw std::logic_error("type " + type);
}

Fault check_type(const Place& place, const json& rule) {
  const json types = rule.is_array() ? rule : json::array({rule});
  const auto fits = [&](const json& type) { return has_type(place.document, type); };
  if (std::ranges::any_of(types, fits)) return {};
  return place.fault(fmt::format("is no {}", rule.dump()));
}

Fault check_properties(const Place& place, const json& rule) {
  if (!place.document.is_object()) return {};
  for (const auto& [name, schema] : rule.items()) {
    if (!place.document.contains(name)) continue;
    if (auto fault = validate(place.at(schema, place.document.at(name), name))) return fault;
  }
  return {};
}

Fault check_additional(const Place& place, const json& rule) {
  if (!place.document.is_object()) return {};
  const json known = place.schema.value("properties", json::object());
  for (const auto& [name, member] : place.document.items()) {
    if (known.contains(name)) continue;
    if (rule.is_boolean()) return place.fault(fmt::format("has the member {:?}", name));
    if (auto fault = validate(place.at(rule, member, name))) return fault;
  }
  return {};
}

Fault check_required(const Place& place, const json& rule) {
  if (!place.document.is_object()) return {};
  for (const std::string name : rule) {
    if (!place.document.contains(name)) return place.fault("lacks the member " + name);
  }
  return {};
}

Fault check_items(const Place& place, const json& rule) {
  if (!place.document.is_array()) return {};
  for (std::size_t i = 0; i < place.document.size(); ++i) {
    if (auto fault = validate(place.at(rule, place.document[i], std::to_string(i)))) return fault;
  }
  return {};
}

Fault check_any_of(const Place& place, const json& rule) {
  Fault first;
  for (const json& schema : rule) {
    const Fault fault = validate(place.with(schema));
    if (!fault) return {};
    if (!first) first = fault;
  }
  return first;
}

Fault check_reference(const Place& place, const std::string& target) {
  const std::size_t hash = target.find('#');
  const std::string file = hash == 0 ? place.file : target.substr(0, hash);
  const json& document = spec::schema(file);
  const json& part = hash == std::string::npos
                         ? document
                         : document.at(json::json_pointer(target.substr(hash + 1)));
  return validate({part, file, place.document, place.path});
}

Fault require(bool fine, const Place& place, const std::string& text) {
  return fine ? Fault{} : place.fault(text);
}

Fault check_pattern(const Place& place, const json& rule) {
  if (!place.document.is_string()) return {};
  const auto text = place.document.get<std::string>();
  const bool fine = std::regex_search(text, std::regex(rule.get<std::string>()));
  return require(fine, place, fmt::format("{} is not of the right form", place.document.dump()));
}

Fault check_contains(const Place& place, const json& rule) {
  if (!place.document.is_array()) return {};
  const auto fits = [&](const json& item) { return !validate(place.at(rule, item, "*")); };
  return require(std::ranges::any_of(place.document, fits), place, "lacks an element");
}

using Keyword = std::function<Fault(const Place&, const json& rule)>;

const std::map<std::string, Keyword>& keywords() {
  const Keyword nothing = [](const Place&, const json&) { return Fault{}; };
  static const std::map<std::string, Keyword> all = {
      {"$schema", nothing},
      {"$id", nothing},
      {"$defs", nothing},
      {"title", nothing},
      {"description", nothing},
      {"type", check_type},
      {"properties", check_properties},
      {"additionalProperties", check_additional},
      {"required", check_required},
      {"items", check_items},
      {"anyOf", check_any_of},
      {"pattern", check_pattern},
      {"contains", check_contains},
      {"$ref", [](const Place& place, const json& rule) { return check_reference(place, rule); }},
      {"not",
       [](const Place& place, const json& rule) {
         return require(validate(place.with(rule)).has_value(), place, "is what it may not be");
       }},
      {"const",
       [](const Place& place, const json& rule) {
         return require(place.document == rule, place, "is not " + rule.dump());
       }},
      {"enum",
       [](const Place& place, const json& rule) {
         return require(std::ranges::find(rule, place.document) != rule.end(), place,
                        fmt::format("{} is none of {}", place.document.dump(), rule.dump()));
       }},
      {"minimum",
       [](const Place& place, const json& rule) {
         return require(!place.document.is_number() || place.document >= rule, place, "is too low");
       }},
      {"maximum",
       [](const Place& place, const json& rule) {
         return require(!place.document.is_number() || place.document <= rule, place,
                        "is too high");
       }},
      {"minItems",
       [](const Place& place, const json& rule) {
         return require(!place.document.is_array() || place.document.size() >= rule, place,
                        "has too few elements");
       }},
  };
  return all;
}

Fault validate(const Place& place) {
  for (const auto& [keyword, rule] : place.schema.items()) {
    const auto found = keywords().find(keyword);
    if (found == keywords().end()) throw std::logic_error("schema keyword " + keyword);
    if (Fault fault = found->second(place, rule)) return fault;
  }
  return {};
}

}  // namespace

Fault schema_fault(const std::string& schema, const json& document) {
  return validate({spec::schema(schema), schema, document, ""});
}

std::string result_schema(const std::string& version) {
  if (version < "0.3.0") return "result-0.1.0.json";
  if (version < "1.0.0") return "result-0.3.0.json";
  return "result-" + version + ".json";
}

}  // namespace conformance
