// The JSON document type of this code base.
//
// Members keep their order. A document that was read may hold one key several times and in any
// letter case; json::Reader picks the last one, as the runtimes' decoder (Go's encoding/json) does.
#pragma once

#include <nlohmann/json.hpp>

namespace cni::json {

using Value = nlohmann::ordered_json;

// Text for a person or a runtime: four blanks of indent, broken UTF-8 replaced, no final newline.
inline std::string pretty(const Value& value) {
  return value.dump(4, ' ', false, Value::error_handler_t::replace);
}

// Text on one line.
inline std::string compact(const Value& value) {
  return value.dump(-1, ' ', false, Value::error_handler_t::replace);
}

}  // namespace cni::json
