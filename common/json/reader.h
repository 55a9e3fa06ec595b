// Reads typed values out of a JSON document and knows where in it they are, so that every error
// names the key path and the value.
//
// Keys match in any letter case; of several, the last counts; null counts as absent (as in Go's
// encoding/json, which configurations in the field rely on).
#pragma once

#include <cstdint>
#include <limits>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "inet/address.h"
#include "inet/mac.h"
#include "inet/network.h"
#include "json/value.h"

namespace cni::json {

// A key is missing or has a value that cannot be used.
class ValueError : public std::runtime_error {
 public:
  // `place` reads like `key "ipam.subnet" is "x"`; the path is empty for the document itself.
  ValueError(const std::string& problem, std::string place)
      : std::runtime_error(problem), place_(std::move(place)) {}

  const std::string& place() const { return place_; }

 private:
  std::string place_;
};

class Reader {
 public:
  // The document itself. `root` must outlive the reader and all that come from it.
  explicit Reader(const Value& root) : value_(root.is_null() ? nullptr : &root) {}

  // A member of this object; absent if the object or the member is. Throws if this is no object.
  Reader operator[](std::string_view key) const;

  bool present() const { return value_ != nullptr; }
  // The key path, for example "ipam.ranges[0][1].subnet".
  const std::string& path() const { return path_; }
  // Only if present().
  const Value& value() const { return *value_; }

  // Each throws ValueError if there is a value of another type.
  std::optional<std::string> find_string() const;
  std::optional<bool> find_bool() const;
  // A JSON integer from `least` to `most`; no fraction, no exponent, no string.
  std::optional<std::int64_t> find_integer(
      std::int64_t least = std::numeric_limits<std::int64_t>::min(),
      std::int64_t most = std::numeric_limits<std::int64_t>::max()) const;
  // Absent: no elements. Elements may be null (absent).
  std::vector<Reader> elements() const;
  // Absent: no members. Of a repeated key, only the last.
  std::vector<std::pair<std::string, Reader>> members() const;
  std::vector<std::string> strings() const;

  // Text forms. An empty string counts as absent.
  std::optional<inet::Address> find_address() const;
  std::optional<inet::Network> find_network() const;
  std::optional<inet::Mac> find_mac() const;

  std::string string_or(std::string_view otherwise) const;
  bool bool_or(bool otherwise) const { return find_bool().value_or(otherwise); }

  // Throws: there is a value, of the right type, and it cannot be used. `problem` is the message.
  [[noreturn]] void refuse(const std::string& problem) const;

  // How a message speaks of this value: `key "mtu" is -1`, or `key "mtu" is missing`.
  std::string place() const;

 private:
  Reader(const Value* value, std::string path) : value_(value), path_(std::move(path)) {}
  [[noreturn]] void wrong_type(std::string_view wanted) const;

  const Value* value_;
  std::string path_;
};

}  // namespace cni::json
