#include "lint_shape.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <string_view>

#include "base/text.h"
#include "nearest.h"

namespace cni::cnictl {
namespace {

std::string shown(const json::Value& value) {
  if (value.is_object()) return "an object";
  if (value.is_array()) return "a list";
  if (value.is_string()) return in_quotes(value.get_ref<const std::string&>());
  return json::compact(value);
}

std::string meant(const std::optional<std::string>& nearest) {
  return nearest ? fmt::format("did you mean {}?", in_quotes(*nearest)) : "";
}

void check_choice(const json::Reader& value, const Shape& shape, Findings& findings) {
  const std::string given = value.value().get<std::string>();
  if (shape.choices.empty() || std::ranges::find(shape.choices, given) != shape.choices.end()) {
    return;
  }
  findings.error(value.path(),
                 fmt::format("it is {}, and has to be one of {}", in_quotes(given),
                             fmt::join(shape.choices, ", ")),
                 meant(find_nearest(given, shape.choices)));
}

void check_integer(const json::Reader& value, const Shape& shape, Findings& findings) {
  try {
    value.find_integer(shape.least, shape.most);
  } catch (const json::ValueError&) {
    findings.error(value.path(), fmt::format("it is {}, and has to be from {} to {}",
                                             shown(value.value()), shape.least, shape.most));
  }
}

bool is_network_or_address(const std::string& text) {
  return text.find('/') == std::string::npos ? inet::Address::parse(text).has_value()
                                             : inet::Network::parse(text).has_value();
}

bool is_interval(const std::string& text) {
  const std::size_t dash = text.find('-');
  if (dash == std::string::npos) return is_network_or_address(text);
  const auto first = inet::Address::parse(text.substr(0, dash));
  const auto last = inet::Address::parse(text.substr(dash + 1));
  return first && last && first->family() == last->family() && *first <= *last;
}

// Numbers with units, as Go writes durations.
bool is_duration(std::string_view text) {
  constexpr std::array<std::string_view, 6> kUnits = {"ns", "us", "ms", "s", "m", "h"};
  if (text.empty()) return false;
  while (!text.empty()) {
    const std::size_t digits = std::min(text.find_first_not_of("0123456789"), text.size());
    text.remove_prefix(digits);
    const std::size_t letters = std::min(text.find_first_of("0123456789"), text.size());
    if (digits == 0 || std::ranges::find(kUnits, text.substr(0, letters)) == kUnits.end()) {
      return false;
    }
    text.remove_prefix(letters);
  }
  return true;
}

bool has_form(const std::string& text, Kind kind) {
  switch (kind) {
    case Kind::kAddress:
      return inet::Address::parse(text).has_value();
    case Kind::kNetwork:
      return inet::Network::parse(text).has_value();
    case Kind::kHost:
      return is_network_or_address(text);
    case Kind::kInterval:
      return is_interval(text);
    case Kind::kAddresses:
      return text.find('/') == std::string::npos && is_interval(text);
    case Kind::kMac:
      return inet::Mac::parse(text).has_value();
    case Kind::kDuration:
      return is_duration(text);
    default:
      return true;
  }
}

void check_object(const json::Reader& value, const Shape& shape, const std::string& owner,
                  Findings& findings) {
  std::vector<std::string> names;
  for (const Key& key : shape.keys) names.push_back(key.name);
  for (const auto& [name, member] : value.members()) {
    const auto exact = std::ranges::find(shape.keys, name, &Key::name);
    const auto found =
        exact != shape.keys.end() ? exact : std::ranges::find_if(shape.keys, [&](const Key& key) {
          return equal_ignoring_case(key.name, name);
        });
    if (found == shape.keys.end()) {
      findings.warning(member.path(), fmt::format("{} has no such key, so it does nothing", owner),
                       meant(find_nearest(name, names)));
      continue;
    }
    if (exact == shape.keys.end() && shape.exact_case) {
      findings.error(member.path(),
                     fmt::format("{} has its keys in their usual letter case only", owner),
                     fmt::format("write {}", in_quotes(found->name)));
    } else if (exact == shape.keys.end()) {
      findings.warning(member.path(), "its letter case is unusual, and not every reader accepts it",
                       fmt::format("write {}", in_quotes(found->name)));
    }
    check_shape(member, found->shape(), owner, findings);
  }
  for (const Key& key : shape.keys) {
    if (key.required && !value[key.name].present()) {
      findings.error(value[key.name].path(), fmt::format("it is missing, and {} needs it", owner));
    }
  }
}

bool has_type(const json::Value& value, Kind kind) {
  switch (kind) {
    case Kind::kAnything:
      return true;
    case Kind::kBoolean:
      return value.is_boolean();
    case Kind::kFlag:
      return value.is_boolean() || value == "true" || value == "false";
    case Kind::kInteger:
      return value.is_number_integer();
    case Kind::kIntegerOrText:
      return value.is_number_integer() || value.is_string();
    case Kind::kObject:
    case Kind::kTexts:
    case Kind::kBooleans:
      return value.is_object();
    case Kind::kBooleanOrObject:
      return value.is_boolean() || value.is_object();
    case Kind::kList:
      return value.is_array();
    default:
      return value.is_string();
  }
}

std::string wanted(const Shape& shape) {
  switch (shape.kind) {
    case Kind::kAnything:
      return "anything";
    case Kind::kText:
      return "a string";
    case Kind::kBoolean:
    case Kind::kFlag:
      return "true or false";
    case Kind::kInteger:
      return "an integer";
    case Kind::kIntegerOrText:
      return fmt::format("an integer or \"{}\"", shape.choices.front());
    case Kind::kAddress:
      return "an IP address (a string)";
    case Kind::kNetwork:
      return "a string \"address/length\"";
    case Kind::kHost:
      return "a string \"address\" or \"address/length\"";
    case Kind::kInterval:
      return "a string \"address\", \"address/length\" or \"first-last\"";
    case Kind::kAddresses:
      return "a string \"address\" or \"first-last\"";
    case Kind::kMac:
      return "a MAC address (a string)";
    case Kind::kDuration:
      return "a string like \"90s\" or \"1h30m\"";
    case Kind::kObject:
    case Kind::kTexts:
    case Kind::kBooleans:
      return "an object";
    case Kind::kBooleanOrObject:
      return "true, false or an object";
    case Kind::kList:
      return "a list";
  }
  return "";
}

void check_members(const json::Reader& value, const Shape& shape, const std::string& owner,
                   Findings& findings) {
  for (const auto& [name, member] : value.members()) check_shape(member, shape, owner, findings);
}

}  // namespace

void check_shape(const json::Reader& value, const Shape& shape, const std::string& owner,
                 Findings& findings) {
  if (!value.present()) return;
  const auto refuse = [&] {
    findings.error(value.path(),
                   fmt::format("it is {}, and has to be {}", shown(value.value()), wanted(shape)));
  };
  if (!has_type(value.value(), shape.kind)) {
    refuse();
    return;
  }
  switch (shape.kind) {
    case Kind::kAnything:
    case Kind::kBoolean:
    case Kind::kFlag:
      break;
    case Kind::kText:
      check_choice(value, shape, findings);
      break;
    case Kind::kInteger:
      check_integer(value, shape, findings);
      break;
    case Kind::kIntegerOrText:
      if (value.value().is_number_integer()) {
        check_integer(value, shape, findings);
      } else if (value.value() != shape.choices.front()) {
        refuse();
      }
      break;
    case Kind::kObject:
      check_object(value, shape, owner, findings);
      break;
    case Kind::kBooleanOrObject:
      if (value.value().is_object()) check_object(value, shape, owner, findings);
      break;
    case Kind::kTexts:
      check_members(value, text_value(), owner, findings);
      break;
    case Kind::kBooleans:
      check_members(value, boolean(), owner, findings);
      break;
    case Kind::kList:
      for (const json::Reader& element : value.elements()) {
        check_shape(element, shape.element.front(), owner, findings);
      }
      break;
    default:
      // The reference suite takes an empty text as an absent value.
      if (const std::string text = value.string_or("");
          !text.empty() && !has_form(text, shape.kind)) {
        refuse();
      }
      break;
  }
}

}  // namespace cni::cnictl
