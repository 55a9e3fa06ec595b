#include "inet/mac.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

namespace cni::inet {

std::optional<Mac> Mac::parse(std::string_view text) {
  if (text.size() < 5) return std::nullopt;
  const bool dotted = text[4] == '.';
  const char separator = dotted ? '.' : text[2];
  if (!dotted && separator != ':' && separator != '-') return std::nullopt;
  const std::size_t group = dotted ? 4 : 2;

  std::vector<std::uint8_t> bytes;
  for (std::size_t at = 0; at < text.size(); at += group + 1) {
    if (at + group > text.size()) return std::nullopt;
    for (std::size_t digit = at; digit < at + group; digit += 2) {
      std::uint8_t byte = 0;
      const char* end = text.data() + digit + 2;
      const auto [stop, error] = std::from_chars(text.data() + digit, end, byte, 16);
      if (error != std::errc{} || stop != end) return std::nullopt;
      bytes.push_back(byte);
    }
    const std::size_t after = at + group;
    if (after < text.size() && text[after] != separator) return std::nullopt;
    if (after + 1 == text.size()) return std::nullopt;  // ends with a separator
  }
  if (bytes.size() != 6 && bytes.size() != 8 && bytes.size() != 20) return std::nullopt;
  return Mac(std::move(bytes));
}

std::string Mac::text() const {
  return fmt::format("{:02x}", fmt::join(bytes_, ":"));
}

bool Mac::is_assignable() const {
  if (bytes_.empty() || (bytes_.front() & 1U) != 0) return false;
  return std::ranges::any_of(bytes_, [](std::uint8_t byte) { return byte != 0; });
}

}  // namespace cni::inet
