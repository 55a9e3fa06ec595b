#include "encode.h"

#include <array>
#include <cstdint>
#include <map>
#include <utility>

namespace cni::cnictl {
namespace {

constexpr std::array<std::pair<std::string_view, std::string_view>, 5> kEscapes = {{
    {"<", "\\u003c"},
    {">", "\\u003e"},
    {"&", "\\u0026"},
    {"\xe2\x80\xa8", "\\u2028"},
    {"\xe2\x80\xa9", "\\u2029"},
}};

std::string escaped(std::string text) {
  for (const auto& [plain, escape] : kEscapes) {
    for (std::size_t at = text.find(plain); at != std::string::npos;
         at = text.find(plain, at + escape.size())) {
      text.replace(at, plain.size(), escape);
    }
  }
  return text;
}

std::string string_json(const std::string& text) {
  return escaped(json::compact(text));
}

void append(const json::Value& value, std::string& out);

void append_object(const json::Value::object_t& members, std::string& out) {
  std::map<std::string_view, const json::Value*> sorted;
  for (const auto& [key, value] : members) sorted[key] = &value;
  std::string_view separator;
  out += '{';
  for (const auto& [key, value] : sorted) {
    out += separator;
    out += string_json(std::string(key));
    out += ':';
    append(*value, out);
    separator = ",";
  }
  out += '}';
}

void append(const json::Value& value, std::string& out) {
  if (value.is_object()) {
    append_object(value.get_ref<const json::Value::object_t&>(), out);
  } else if (value.is_array()) {
    std::string_view separator;
    out += '[';
    for (const json::Value& element : value) {
      out += separator;
      append(element, out);
      separator = ",";
    }
    out += ']';
  } else if (value.is_string()) {
    out += string_json(value.get_ref<const std::string&>());
  } else {
    out += json::compact(value);
  }
}

}  // namespace

std::string sorted_json(const json::Value& value) {
  std::string out;
  append(value, out);
  return out;
}

std::string base64(std::string_view bytes) {
  constexpr std::string_view kDigits =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string text;
  for (std::size_t at = 0; at < bytes.size(); at += 3) {
    const std::string_view group = bytes.substr(at, 3);
    std::uint32_t bits = 0;
    for (std::size_t byte = 0; byte < 3; ++byte) {
      bits = bits << 8U | (byte < group.size() ? static_cast<unsigned char>(group[byte]) : 0U);
    }
    for (std::size_t digit = 0; digit < 4; ++digit) {
      text += digit <= group.size() ? kDigits[bits >> (18 - 6 * digit) & 0x3fU] : '=';
    }
  }
  return text;
}

}  // namespace cni::cnictl
