// Makes text that nlohmann_json refuses, and Go's decoder accepts, readable.
#pragma once

#include <string>
#include <string_view>

namespace cni::json {

// Throws SyntaxError if a string or a number is longer than kLongestToken.
//
// In strings, broken UTF-8 and lone surrogate escapes become U+FFFD. The exponent of a number that
// no double can hold is replaced, so that it becomes 0. Everything else, also what is no JSON,
// stays.
std::string tolerant_text(std::string_view text);

}  // namespace cni::json
