// Validates a document by a JSON Schema, as far as the schemas of cni-spec/ go.
#pragma once

#include <nlohmann/json.hpp>
#include <optional>
#include <string>

namespace conformance {

// What is wrong with `document`, with the place in it; nothing if it obeys the schema of that file
// name. A keyword that is not understood is a std::logic_error, never passed over.
std::optional<std::string> schema_fault(const std::string& schema, const nlohmann::json& document);

// The file name of the schema for results of a version.
std::string result_schema(const std::string& version);

}  // namespace conformance
