#include "json/parse.h"

#include <fmt/format.h>

#include <algorithm>
#include <vector>

#include "json/tolerant_text.h"

namespace cni::json {
namespace {

// Builds the document and keeps every member, also repeated ones.
class Builder : public nlohmann::json_sax<Value> {
 public:
  bool null() override { return add(nullptr); }
  bool boolean(bool value) override { return add(value); }
  bool number_integer(number_integer_t value) override { return add(value); }
  bool number_unsigned(number_unsigned_t value) override { return add(value); }
  bool number_float(number_float_t value, const string_t& /*text*/) override { return add(value); }
  bool string(string_t& value) override {
    return charge(sizeof(value) + value.size()) && add(std::move(value));
  }
  bool binary(binary_t& /*value*/) override { return false; }
  bool start_object(std::size_t /*size*/) override { return open(Value::object()); }
  bool start_array(std::size_t /*size*/) override { return open(Value::array()); }
  bool end_object() override { return close(); }
  bool end_array() override { return close(); }
  bool key(string_t& name) override {
    key_ = std::move(name);
    return charge(sizeof(key_) + key_.size());
  }
  bool parse_error(std::size_t position, const std::string& /*last_token*/,
                   const nlohmann::detail::exception& /*error*/) override {
    error_position_ = position;
    return false;
  }

  Value take() { return std::move(root_); }
  std::size_t error_position() const { return error_position_; }
  bool too_deep() const { return too_deep_; }
  bool too_large() const { return size_ > kLargestDocument; }

 private:
  Value* place(Value value) {
    if (open_.empty()) {
      root_ = std::move(value);
      return &root_;
    }
    if (open_.back()->is_array()) {
      auto& elements = open_.back()->get_ref<Value::array_t&>();
      return &elements.emplace_back(std::move(value));
    }
    // emplace_back() of the underlying vector: no search for the same key.
    auto& members = open_.back()->get_ref<Value::object_t&>();
    return &members.emplace_back(std::move(key_), std::move(value)).second;
  }
  // Counts what goes into memory; false if it is too much.
  bool charge(std::size_t bytes) {
    size_ += bytes;
    return !too_large();
  }
  bool add(Value value) {
    place(std::move(value));
    return charge(sizeof(Value));
  }
  bool open(Value container) {
    too_deep_ = open_.size() == kMaxDepth;
    if (too_deep_ || !charge(sizeof(Value) + sizeof(Value::object_t))) return false;
    open_.push_back(place(std::move(container)));
    return true;
  }
  bool close() {
    open_.pop_back();
    return true;
  }

  Value root_;
  // A container does not move while it is open: only the innermost one grows.
  std::vector<Value*> open_;
  std::string key_;
  std::size_t error_position_ = 0;
  bool too_deep_ = false;
  std::size_t size_ = 0;
};

std::string place_text(std::string_view text, std::size_t position) {
  const std::string_view before = text.substr(0, position == 0 ? 0 : position - 1);
  const auto line = 1 + std::ranges::count(before, '\n');
  const std::size_t line_start = before.rfind('\n');
  const std::size_t column =
      before.size() - (line_start == std::string_view::npos ? 0 : line_start + 1) + 1;
  return fmt::format("line {}, column {}", line, column);
}

}  // namespace

Value parse(std::string_view text) {
  if (text.starts_with("\xef\xbb\xbf")) throw SyntaxError("byte order mark before the document");
  if (text.find_first_not_of(" \t\r\n") == std::string_view::npos) {
    throw SyntaxError("unexpected end of JSON input");
  }
  // A NUL is never part of JSON text. The parser would take it for the end of the document.
  if (const std::size_t nul = text.find('\0'); nul != std::string_view::npos) {
    throw SyntaxError(fmt::format("invalid JSON at {}", place_text(text, nul + 1)));
  }
  const std::string tolerant = tolerant_text(text);
  Builder builder;
  if (Value::sax_parse(tolerant, &builder)) return builder.take();
  if (builder.too_deep()) throw SyntaxError(fmt::format("nested deeper than {}", kMaxDepth));
  if (builder.too_large()) {
    throw SyntaxError(
        fmt::format("its values would take more than {} bytes of memory", kLargestDocument));
  }
  if (builder.error_position() > tolerant.size()) {
    throw SyntaxError("unexpected end of JSON input");
  }
  throw SyntaxError(
      fmt::format("invalid JSON at {}", place_text(tolerant, builder.error_position())));
}

}  // namespace cni::json
