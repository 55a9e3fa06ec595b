// JSON and base64 as Go's encoding/json writes them, so that plugins and other runtimes that share
// the result cache see the bytes they are used to.
#pragma once

#include <string>
#include <string_view>

#include "json/value.h"

namespace cni::cnictl {

// Compact, keys in byte order; of a repeated key the last value. '<', '>', '&' and the line
// separators U+2028 and U+2029 are escaped as \u003c and so on.
std::string sorted_json(const json::Value& value);

// RFC 4648, section 4, with padding.
std::string base64(std::string_view bytes);

}  // namespace cni::cnictl
