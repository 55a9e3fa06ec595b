// Small operations on text that the standard library does not have, or has with a locale.
#pragma once

#include <charconv>
#include <concepts>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace cni {

// The pieces of `text` between separators; always at least one, possibly empty.
std::vector<std::string> split(std::string_view text, char separator);

// Without blanks, tabs, carriage returns and newlines at both ends.
std::string_view trim(std::string_view text);

// ASCII only; every other byte must match exactly.
bool equal_ignoring_case(std::string_view one, std::string_view other);

// `text` for an error message: in double quotes, control bytes and broken UTF-8 escaped, cut
// at 64 characters.
std::string in_quotes(std::string_view text);

// The same without the quotes, for a message that has its own.
std::string cut(std::string_view text);

// `text` with every byte sequence that is not UTF-8 (RFC 3629) replaced by U+FFFD.
std::string valid_utf8(std::string_view text);

// The length of the UTF-8 character at the front of `text` (not empty); 0 if it is broken.
std::size_t utf8_length(std::string_view text);

// The whole of `text` as a decimal number; nothing for a sign of another kind, blanks or overflow.
template <std::integral Number>
std::optional<Number> parse_number(std::string_view text) {
  Number value{};
  const char* end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, value);
  if (error != std::errc{} || stop != end) return std::nullopt;
  return value;
}

}  // namespace cni
