// What stands in cni-spec/, built into this program.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace conformance::spec {

struct Clause {
  std::string id, since, until, level, obligation, by, reason;
};

inline const std::vector<std::string> kVersions = {"0.1.0", "0.2.0", "0.3.0", "0.3.1",
                                                   "0.4.0", "1.0.0", "1.1.0"};

// In the order of the table.
const std::vector<Clause>& clauses();

// A file of cni-spec/schema; throws std::out_of_range.
const nlohmann::json& schema(const std::string& file);

// The files of cni-spec/vectors/error by name.
const std::map<std::string, nlohmann::json>& error_vectors();

// cni-spec/vectors/schema.json.
const nlohmann::json& schema_vectors();

}  // namespace conformance::spec
