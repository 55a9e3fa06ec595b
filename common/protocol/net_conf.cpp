#include "protocol/net_conf.h"

#include <fmt/format.h>

#include "base/log.h"
#include "base/text.h"
#include "json/parse.h"
#include "protocol/environment.h"
#include "protocol/error.h"
#include "protocol/result_versions.h"

namespace cni {
namespace {

// NAME_MAX of limits.h: network names become directory names.
constexpr std::size_t kLongestName = 255;

std::shared_ptr<const json::Value> parse_document(const std::string& text) {
  try {
    auto document = std::make_shared<const json::Value>(json::parse(text));
    if (document->is_object() || document->is_null()) return document;
    throw json::SyntaxError("the document is not an object");
  } catch (const json::SyntaxError& error) {
    throw Error(Code::kDecodingFailure,
                fmt::format("error unmarshall network config: {}", error.what()));
  }
}

std::string read_name(const json::Reader& name) {
  std::string text;
  try {
    text = name.string_or("");
  } catch (const json::ValueError& error) {
    throw Error(Code::kDecodingFailure,
                fmt::format("error unmarshall network config: {}", error.what()));
  }
  if (text.empty()) throw Error(Code::kInvalidConfig, "missing network name");
  if (!is_valid_identifier(text)) {
    throw Error(Code::kInvalidConfig, "invalid characters found in network name", in_quotes(text));
  }
  if (text.size() > kLongestName) {
    throw Error(Code::kInvalidConfig,
                fmt::format("network name is longer than {} characters", kLongestName),
                in_quotes(text));
  }
  return text;
}

std::string supported_versions() {
  std::vector<std::string> versions;
  for (const Version version : kVersions) versions.push_back(in_quotes(text(version)));
  return fmt::format("[{}]", fmt::join(versions, " "));
}

}  // namespace

NetConf NetConf::parse(std::string text) {
  NetConf conf;
  conf.text_ = std::move(text);
  conf.root_ = parse_document(conf.text_);
  conf.name_ = read_name(conf["name"]);
  return conf;
}

std::string NetConf::version_text() const {
  try {
    const std::string version = (*this)["cniVersion"].string_or("");
    return version.empty() ? "0.1.0" : version;
  } catch (const json::ValueError& error) {
    throw Error(Code::kDecodingFailure,
                fmt::format("decoding version from network config: {}", error.what()));
  }
}

Version NetConf::version() const {
  const std::string given = version_text();
  const std::optional<Version> version = find_version(given);
  if (!version) {
    throw Error(
        Code::kIncompatibleVersion, "incompatible CNI versions",
        fmt::format("config is {}, plugin supports {}", in_quotes(given), supported_versions()));
  }
  return *version;
}

std::optional<Result> NetConf::find_prev_result() const {
  const json::Reader document = (*this)["prevResult"];
  if (!document.present()) return std::nullopt;
  if (!document.value().is_object()) document.refuse("could not parse prevResult: not an object");
  const std::optional<std::string> own = document["cniVersion"].find_string();
  const Version expected = version();
  const std::optional<Version> given = own ? find_version(*own) : expected;
  if (!given || result_family(*given) != result_family(expected)) {
    throw Error(Code::kInvalidConfig,
                fmt::format("could not parse prevResult: its cniVersion {} does not go with the "
                            "configuration's {}",
                            in_quotes(own.value_or("")), in_quotes(cni::text(expected))));
  }
  return parse_result(document, *given);
}

std::optional<Result> NetConf::hint_prev_result() const {
  try {
    return find_prev_result();
  } catch (const std::runtime_error& error) {
    log::info("{}, ignoring", error.what());
    return std::nullopt;
  }
}

Result NetConf::get_prev_result() const {
  std::optional<Result> result = find_prev_result();
  if (!result) throw Error(Code::kInvalidConfig, "Required prevResult missing");
  return *std::move(result);
}

std::optional<std::vector<Attachment>> NetConf::find_valid_attachments() const {
  for (const char* key : {"cni.dev/valid-attachments", "cni.dev/attachments"}) {
    const json::Reader list = (*this)[key];
    if (!list.present()) continue;
    std::vector<Attachment> attachments;
    for (const json::Reader& element : list.elements()) {
      attachments.push_back({.container_id = element["containerID"].string_or(""),
                             .ifname = element["ifname"].string_or("")});
    }
    return attachments;
  }
  return std::nullopt;
}

}  // namespace cni
