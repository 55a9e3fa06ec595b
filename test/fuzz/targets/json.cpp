// JSON text, and reading values of every type out of it.

#include <algorithm>

#include "fuzz/oracle.h"
#include "fuzz/targets.h"
#include "json/parse.h"
#include "json/reader.h"
#include "json/tolerant_text.h"

namespace cni::fuzz {
namespace {

// Deeper documents are read, but nothing of ours prints them.
constexpr std::ptrdiff_t kPrintable = 200;

void read_all(const json::Reader& reader, int depth) {
  const auto read = [](const auto& one) { accepts(one, {Code::kInvalidConfig}); };
  read([&] { reader.find_string(); });
  read([&] { reader.find_bool(); });
  read([&] {
    if (const auto number = reader.find_integer(-5, 70000)) {
      require(*number >= -5 && *number <= 70000, "an integer is in its range");
    }
  });
  read([&] { reader.find_address(); });
  read([&] { reader.find_network(); });
  read([&] { reader.find_mac(); });
  read([&] { reader.strings(); });
  require(!reader.place().empty(), "a value has a place");
  if (depth == 0) return;
  read([&] {
    for (const json::Reader& element : reader.elements()) read_all(element, depth - 1);
  });
  read([&] {
    for (const auto& [name, member] : reader.members()) read_all(member, depth - 1);
  });
}

// The library passes over a byte order mark, which RFC 8259 (section 8.1) keeps out, and takes a
// NUL for the end.
bool is_strict_json(const std::string& text) {
  return !text.starts_with("\xef\xbb\xbf") && !text.contains('\0') && nlohmann::json::accept(text);
}

}  // namespace

void json(std::string_view input) {
  const std::string text(input);
  const std::string tolerant = json::tolerant_text(text);
  require(json::tolerant_text(tolerant) == tolerant, "readable text stays as it is");
  const bool strict = is_strict_json(text);
  require(!strict || tolerant == text, "JSON stays as it is");

  json::Value value;
  const bool read = accepts([&] { value = json::parse(text); }, {Code::kDecodingFailure});
  const auto depth = std::ranges::count_if(text, [](char c) { return c == '[' || c == '{'; });
  require(read || !strict || depth > static_cast<std::ptrdiff_t>(json::kMaxDepth), "JSON is read");
  if (!read) return;
  read_all(json::Reader(value), 3);
  if (depth > kPrintable) return;
  const std::string printed = json::compact(value);
  require(json::compact(json::parse(printed)) == printed, "what is printed reads back");
}

}  // namespace cni::fuzz
