#include "json/tolerant_text.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdlib>
#include <optional>

#include "base/text.h"
#include "json/parse.h"

namespace cni::json {
namespace {

constexpr std::string_view kReplacement = "\xef\xbf\xbd";
constexpr std::string_view kReplacementEscape = "\\ufffd";
constexpr std::size_t kEscapeLength = 6;  // of \uXXXX
// Makes any mantissa that fits into memory 0.
constexpr std::string_view kTinyExponent = "e-99999999999";

void require_short(std::size_t length) {
  if (length <= kLongestToken) return;
  throw SyntaxError(fmt::format("a string or number is longer than {} bytes", kLongestToken));
}

// The code unit of a \uXXXX escape at the front of `text`.
std::optional<unsigned> code_unit(std::string_view text) {
  if (text.size() < kEscapeLength || !text.starts_with("\\u")) return std::nullopt;
  unsigned unit = 0;
  const char* end = text.data() + kEscapeLength;
  const auto [stop, error] = std::from_chars(text.data() + 2, end, unit, 16);
  if (error != std::errc{} || stop != end) return std::nullopt;
  return unit;
}

bool is_high_surrogate(std::optional<unsigned> unit) {
  return unit && *unit >> 10U == 0x36;
}
bool is_low_surrogate(std::optional<unsigned> unit) {
  return unit && *unit >> 10U == 0x37;
}

// Copies the escape at the front of `text`; returns its length.
std::size_t copy_escape(std::string_view text, std::string& out) {
  const std::optional<unsigned> unit = code_unit(text);
  if (!unit) {
    const std::size_t length = std::min<std::size_t>(2, text.size());
    out += text.substr(0, length);
    return length;
  }
  if (is_high_surrogate(unit) && is_low_surrogate(code_unit(text.substr(kEscapeLength)))) {
    out += text.substr(0, 2 * kEscapeLength);
    return 2 * kEscapeLength;
  }
  out += is_high_surrogate(unit) || is_low_surrogate(unit) ? kReplacementEscape
                                                           : text.substr(0, kEscapeLength);
  return kEscapeLength;
}

// Copies the string, opening quote included, at the front of `text`; returns its length.
std::size_t copy_string(std::string_view text, std::string& out) {
  std::size_t at = 1;
  out += '"';
  while (at < text.size()) {
    require_short(at);
    if (text[at] == '\\') {
      at += copy_escape(text.substr(at), out);
      continue;
    }
    const std::size_t length = utf8_length(text.substr(at));
    if (length == 0) {
      out += kReplacement;
      ++at;
      continue;
    }
    out += text.substr(at, length);
    at += length;
    if (out.back() == '"') break;
  }
  return at;
}

std::size_t copy_number(std::string_view text, std::string& out) {
  const std::size_t length = std::min(text.find_first_not_of("0123456789+-.eE"), text.size());
  require_short(length);
  const std::string token(text.substr(0, length));
  char* stop = nullptr;
  const bool infinite = std::isinf(std::strtod(token.c_str(), &stop));
  // What goes on behind the number is no JSON and stays so.
  if (infinite && *stop == '\0') {
    out += token.substr(0, token.find_first_of("eE"));
    out += kTinyExponent;
  } else {
    out += token;
  }
  return length;
}

}  // namespace

std::string tolerant_text(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  while (!text.empty()) {
    std::size_t length = 1;
    if (text.front() == '"') {
      length = copy_string(text, out);
    } else if (text.front() == '-' || (text.front() >= '0' && text.front() <= '9')) {
      length = copy_number(text, out);
    } else {
      out += text.front();
    }
    text.remove_prefix(length);
  }
  return out;
}

}  // namespace cni::json
