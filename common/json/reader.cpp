#include "json/reader.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "base/text.h"

namespace cni::json {
namespace {

// The value as a message shows it: a scalar as written, cut short; no content of a container,
// which may hold secrets.
std::string shown(const Value& value) {
  if (value.is_object()) return "an object";
  if (value.is_array()) return "a list";
  if (value.is_string()) return in_quotes(value.get_ref<const std::string&>());
  return compact(value);
}

std::string member_path(const std::string& path, std::string_view key) {
  return path.empty() ? std::string(key) : fmt::format("{}.{}", path, key);
}

}  // namespace

Reader Reader::operator[](std::string_view key) const {
  std::string path = member_path(path_, key);
  if (!present()) return {nullptr, std::move(path)};
  if (!value_->is_object()) wrong_type("an object");
  const auto& members = value_->get_ref<const Value::object_t&>();
  const auto found = std::find_if(members.rbegin(), members.rend(), [&](const auto& member) {
    return equal_ignoring_case(member.first, key);
  });
  const bool absent = found == members.rend() || found->second.is_null();
  return {absent ? nullptr : &found->second, std::move(path)};
}

std::optional<std::string> Reader::find_string() const {
  if (!present()) return std::nullopt;
  if (!value_->is_string()) wrong_type("a string");
  return value_->get<std::string>();
}

std::optional<bool> Reader::find_bool() const {
  if (!present()) return std::nullopt;
  if (!value_->is_boolean()) wrong_type("true or false");
  return value_->get<bool>();
}

std::optional<std::int64_t> Reader::find_integer(std::int64_t least, std::int64_t most) const {
  if (!present()) return std::nullopt;
  if (!value_->is_number_integer()) wrong_type("an integer");
  const bool beyond =
      value_->is_number_unsigned() && std::cmp_greater(value_->get<std::uint64_t>(), most);
  if (beyond || value_->get<std::int64_t>() < least || value_->get<std::int64_t>() > most) {
    wrong_type(fmt::format("an integer from {} to {}", least, most));
  }
  return value_->get<std::int64_t>();
}

std::vector<Reader> Reader::elements() const {
  std::vector<Reader> elements;
  if (!present()) return elements;
  if (!value_->is_array()) wrong_type("a list");
  for (std::size_t at = 0; at < value_->size(); ++at) {
    const Value& element = (*value_)[at];
    elements.push_back({element.is_null() ? nullptr : &element, fmt::format("{}[{}]", path_, at)});
  }
  return elements;
}

std::vector<std::pair<std::string, Reader>> Reader::members() const {
  std::vector<std::pair<std::string, Reader>> members;
  if (!present()) return members;
  if (!value_->is_object()) wrong_type("an object");
  const auto& all = value_->get_ref<const Value::object_t&>();
  std::set<std::string_view> seen;
  for (auto member = all.rbegin(); member != all.rend(); ++member) {
    const auto& [key, value] = *member;
    if (!seen.insert(key).second) continue;
    members.emplace_back(key, Reader(value.is_null() ? nullptr : &value, member_path(path_, key)));
  }
  std::ranges::reverse(members);
  return members;
}

std::vector<std::string> Reader::strings() const {
  std::vector<std::string> strings;
  for (const Reader& element : elements()) strings.push_back(element.string_or(""));
  return strings;
}

std::optional<inet::Address> Reader::find_address() const {
  const std::optional<std::string> text = find_string();
  if (!text || text->empty()) return std::nullopt;
  const std::optional<inet::Address> address = inet::Address::parse(*text);
  if (!address) refuse(fmt::format("invalid IP address: {}", cut(*text)));
  return address;
}

std::optional<inet::Network> Reader::find_network() const {
  const std::optional<std::string> text = find_string();
  if (!text || text->empty()) return std::nullopt;
  const std::optional<inet::Network> network = inet::Network::parse(*text);
  if (!network) refuse(fmt::format("invalid CIDR address: {}", cut(*text)));
  return network;
}

std::optional<inet::Mac> Reader::find_mac() const {
  const std::optional<std::string> text = find_string();
  if (!text || text->empty()) return std::nullopt;
  const std::optional<inet::Mac> mac = inet::Mac::parse(*text);
  if (!mac) refuse(fmt::format("address {}: invalid MAC address", cut(*text)));
  return mac;
}

std::string Reader::string_or(std::string_view otherwise) const {
  return find_string().value_or(std::string(otherwise));
}

void Reader::refuse(const std::string& problem) const {
  throw ValueError(problem, place());
}

std::string Reader::place() const {
  const std::string name =
      path_.empty() ? std::string("the document") : fmt::format("key {}", in_quotes(path_));
  return present() ? fmt::format("{} is {}", name, shown(*value_))
                   : fmt::format("{} is missing", name);
}

void Reader::wrong_type(std::string_view wanted) const {
  throw ValueError(fmt::format("failed to load netconf: {}, not {}", place(), wanted), place());
}

}  // namespace cni::json
