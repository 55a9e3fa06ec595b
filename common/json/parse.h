// Text to json::Value, for text that comes from outside.
#pragma once

#include <stdexcept>
#include <string>
#include <string_view>

#include "json/value.h"

namespace cni::json {

// The text is no JSON document. what() names the place, and does not repeat the text, which may
// hold secrets.
class SyntaxError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

// Deeper nesting is a SyntaxError: it serves no purpose but to exhaust the stack.
inline constexpr std::size_t kMaxDepth = 10000;
// Likewise a longer string or number, in bytes, ...
inline constexpr std::size_t kLongestToken = std::size_t{4} << 20U;
// ... and a document whose values would take more memory than this, in bytes: a few letters of text
// become a value of many bytes.
inline constexpr std::size_t kLargestDocument = std::size_t{8} << 20U;

// Reads one RFC 8259 document and nothing after it but white space. As lenient as Go's decoder
// where configurations rely on it: broken UTF-8 and lone surrogates become U+FFFD, numbers beyond a
// double are read as some other fraction (no key of ours takes a fraction).
Value parse(std::string_view text);

}  // namespace cni::json
