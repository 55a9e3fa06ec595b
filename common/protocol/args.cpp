#include "protocol/args.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/text.h"
#include "protocol/error.h"

namespace cni {
namespace {

std::optional<std::pair<std::string, std::string>> parse_pair(std::string_view piece) {
  const std::size_t equals = piece.find('=');
  if (equals == std::string_view::npos || piece.find('=', equals + 1) != std::string_view::npos) {
    return std::nullopt;
  }
  return std::pair(std::string(piece.substr(0, equals)), std::string(piece.substr(equals + 1)));
}

bool parse_bool(const std::string& key, const std::string& value) {
  if (value == "1" || equal_ignoring_case(value, "true")) return true;
  if (value == "0" || equal_ignoring_case(value, "false")) return false;
  throw Error(Code::kInvalidConfig,
              fmt::format("ARGS: error parsing value of pair {}: boolean unmarshal error: invalid "
                          "input {}",
                          in_quotes(key + "=" + value), cut(value)));
}

}  // namespace

Args Args::parse(std::string_view text) {
  Args args;
  if (text.empty()) return args;
  for (const std::string& piece : split(text, ';')) {
    auto pair = parse_pair(piece);
    if (!pair) {
      throw Error(Code::kInvalidConfig, fmt::format("ARGS: invalid pair {}", in_quotes(piece)));
    }
    args.pairs_.push_back(*std::move(pair));
  }
  return args;
}

Args Args::parse_leniently(std::string_view text) {
  Args args;
  for (const std::string& piece : split(text, ';')) {
    if (auto pair = parse_pair(piece)) args.pairs_.push_back(*std::move(pair));
  }
  return args;
}

std::optional<std::string> Args::find(std::string_view key) const {
  const auto found = std::find_if(pairs_.rbegin(), pairs_.rend(),
                                  [&](const auto& pair) { return pair.first == key; });
  if (found == pairs_.rend()) return std::nullopt;
  return found->second;
}

void Args::require_known(std::span<const std::string_view> known) const {
  const std::optional<std::string> ignore = find("IgnoreUnknown");
  const bool ignore_unknown = ignore && parse_bool("IgnoreUnknown", *ignore);
  if (ignore_unknown) return;
  std::vector<std::string> unknown;
  for (const auto& [key, value] : pairs_) {
    if (key != "IgnoreUnknown" && std::ranges::find(known, key) == known.end()) {
      unknown.push_back(in_quotes(fmt::format("{}={}", key, value)));
    }
  }
  if (!unknown.empty()) {
    throw Error(Code::kInvalidConfig,
                fmt::format("ARGS: unknown args [{}]", fmt::join(unknown, " ")));
  }
}

std::optional<std::string> Args::pod() const {
  const std::string pod_namespace = find("K8S_POD_NAMESPACE").value_or("");
  const std::string pod_name = find("K8S_POD_NAME").value_or("");
  if (pod_namespace.empty() || pod_name.empty()) return std::nullopt;
  return fmt::format("{}/{}", pod_namespace, pod_name);
}

}  // namespace cni
