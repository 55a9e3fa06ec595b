// Which keys an object may have and of which type they are, as data, and the walk that compares a
// document with it.
#pragma once

#include <cstdint>
#include <limits>
#include <string>
#include <vector>

#include "finding.h"
#include "json/reader.h"

namespace cni::cnictl {

enum class Kind {
  kAnything,
  kText,
  kBoolean,
  kFlag,  // true, false, "true" or "false"
  kInteger,
  kIntegerOrText,  // a number or one of `choices`
  kAddress,
  kNetwork,    // address/length
  kHost,       // an address, with or without a length
  kInterval,   // an address, address/length or "first-last"
  kAddresses,  // an address or "first-last"
  kMac,
  kDuration,  // text like "90s" or "1h30m"
  kObject,
  kBooleanOrObject,
  kTexts,     // an object of any keys, all values strings
  kBooleans,  // an object of any keys, all values true or false
  kList,
};

struct Shape;

struct Key {
  Key(std::string key_name, Shape key_shape, bool is_required = false);

  const Shape& shape() const { return one_shape.front(); }

  std::string name;
  std::vector<Shape> one_shape;  // a vector, since shapes hold keys in turn
  bool required;
};

struct Shape {
  Kind kind;
  std::int64_t least = 0;                 // integers
  std::int64_t most = 0;                  // integers
  std::vector<std::string> choices = {};  // kText: empty for any text
  std::vector<Key> keys = {};             // kObject, kBooleanOrObject
  std::vector<Shape> element = {};        // kList: one
  bool exact_case = false;                // kObject: its readers know no other letter case
};

inline Key::Key(std::string key_name, Shape key_shape, bool is_required)
    : name(std::move(key_name)), one_shape{std::move(key_shape)}, required(is_required) {}

inline constexpr std::int64_t kMost32 = std::numeric_limits<std::uint32_t>::max();

// The tables in lint_keys.cpp and lint_plugins.cpp are written with these.
inline Shape anything() {
  return {.kind = Kind::kAnything};
}
inline Shape text_value() {
  return {.kind = Kind::kText};
}
inline Shape one_of(std::vector<std::string> choices) {
  return {.kind = Kind::kText, .choices = std::move(choices)};
}
inline Shape boolean() {
  return {.kind = Kind::kBoolean};
}
inline Shape flag() {
  return {.kind = Kind::kFlag};
}
inline Shape integer(std::int64_t least, std::int64_t most = kMost32) {
  return {.kind = Kind::kInteger, .least = least, .most = most};
}
inline Shape integer_or(std::int64_t least, std::int64_t most, std::string word) {
  return {.kind = Kind::kIntegerOrText, .least = least, .most = most, .choices = {std::move(word)}};
}
inline Shape address() {
  return {.kind = Kind::kAddress};
}
inline Shape network() {
  return {.kind = Kind::kNetwork};
}
inline Shape host() {
  return {.kind = Kind::kHost};
}
inline Shape interval() {
  return {.kind = Kind::kInterval};
}
inline Shape addresses() {
  return {.kind = Kind::kAddresses};
}
inline Shape duration() {
  return {.kind = Kind::kDuration};
}
inline Shape mac() {
  return {.kind = Kind::kMac};
}
inline Shape texts() {
  return {.kind = Kind::kTexts};
}
inline Shape booleans() {
  return {.kind = Kind::kBooleans};
}
inline Shape object(std::vector<Key> keys) {
  return {.kind = Kind::kObject, .keys = std::move(keys)};
}
inline Shape boolean_or(std::vector<Key> keys) {
  return {.kind = Kind::kBooleanOrObject, .keys = std::move(keys)};
}
inline Shape list(Shape element) {
  return {.kind = Kind::kList, .element = {std::move(element)}};
}

// Reports wrong types, values out of range, missing and unknown keys, and keys in an unusual letter
// case, in `value` and all below it. `owner` is who does not know an unknown key.
void check_shape(const json::Reader& value, const Shape& shape, const std::string& owner,
                 Findings& findings);

}  // namespace cni::cnictl
