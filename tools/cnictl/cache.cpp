#include "cache.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <filesystem>

#include "base/error.h"
#include "base/file.h"
#include "base/log.h"
#include "base/unique_fd.h"
#include "encode.h"
#include "json/parse.h"
#include "json/reader.h"

namespace cni::cnictl {
namespace {

namespace fs = std::filesystem;
using json::Value;

constexpr const char* kKind = "cniCacheV1";
constexpr std::size_t kLongestFile = std::size_t{64} << 20U;  // bytes

std::vector<std::pair<std::string, std::string>> parse_pairs(const json::Reader& args) {
  std::vector<std::pair<std::string, std::string>> pairs;
  for (const json::Reader& pair : args.elements()) {
    const std::vector<std::string> texts = pair.strings();
    if (texts.size() != 2) pair.refuse("an argument is not a pair");
    pairs.emplace_back(texts[0], texts[1]);
  }
  return pairs;
}

Value object_of(const json::Reader& reader) {
  if (!reader.present()) return Value();
  if (!reader.value().is_object()) reader.refuse("it is not an object");
  return reader.value();
}

std::optional<CachedAttachment> parse_document(const Value& document) {
  const json::Reader reader(document);
  if (reader["kind"].string_or("") != kKind) return std::nullopt;
  CachedAttachment cached;
  cached.network = reader["networkName"].string_or("");
  cached.attachment = {.container_id = reader["containerId"].string_or(""),
                       .ifname = reader["ifName"].string_or("")};
  cached.netns = reader["netns"].string_or("");
  cached.args = parse_pairs(reader["cniArgs"]);
  const Value capability_args = object_of(reader["capabilityArgs"]);
  if (capability_args.is_object()) cached.capability_args = capability_args;
  cached.result = object_of(reader["result"]);
  return cached;
}

Value find_document(const std::string& text) {
  try {
    return json::parse(text);
  } catch (const json::SyntaxError&) {
    return {};
  }
}

// A key only if there is something to say, as with Go's omitempty.
void append(std::string& out, const char* key, const Value& value) {
  if (value.empty()) return;
  out += fmt::format(",\"{}\":{}", key, sorted_json(value));
}

}  // namespace

std::string render_cached(const CachedAttachment& cached) {
  Value pairs = Value::array();
  for (const auto& [key, value] : cached.args) {
    Value pair = Value::array();
    pair.push_back(key);
    pair.push_back(value);
    pairs.push_back(std::move(pair));
  }
  // Go writes the members of a structure in its order, and those of a map sorted.
  std::string out =
      fmt::format(R"({{"kind":{},"containerId":{},"config":{},"ifName":{},"networkName":{})",
                  sorted_json(kKind), sorted_json(cached.attachment.container_id),
                  sorted_json(base64(cached.config)), sorted_json(cached.attachment.ifname),
                  sorted_json(cached.network));
  if (!cached.netns.empty()) out += fmt::format(R"(,"netns":{})", sorted_json(cached.netns));
  append(out, "cniArgs", pairs);
  append(out, "capabilityArgs", cached.capability_args);
  append(out, "result", cached.result);
  return out + "}";
}

std::optional<CachedAttachment> parse_cached(const std::string& text) {
  const Value document = find_document(text);
  if (!document.is_object()) return std::nullopt;
  try {
    return parse_document(document);
  } catch (const json::ValueError&) {
    return std::nullopt;
  }
}

std::string Cache::path(const std::string& network, const Attachment& attachment) const {
  return fmt::format("{}/{}-{}-{}", results(), network, attachment.container_id, attachment.ifname);
}

void Cache::store(const CachedAttachment& cached) const {
  ensure_directory(results(), 0700);
  const std::string file = path(cached.network, cached.attachment);
  // libcni passes over names it cannot parse, and so does list().
  std::string temporary = fmt::format("{}/.new-XXXXXX", results());
  const UniqueFd fd(::mkostemp(temporary.data(), O_CLOEXEC));
  if (!fd) throw_io_errno(fmt::format("create {}", temporary));
  try {
    write_all(fd.get(), render_cached(cached), temporary);
    if (::rename(temporary.c_str(), file.c_str()) != 0) {
      throw_io_errno(fmt::format("rename {} to {}", temporary, file));
    }
  } catch (...) {
    ::unlink(temporary.c_str());
    throw;
  }
}

std::optional<CachedAttachment> Cache::find(const std::string& network,
                                            const Attachment& attachment) const {
  const std::string file = path(network, attachment);
  const std::optional<std::string> text = find_file(file, kLongestFile);
  if (!text) return std::nullopt;
  std::optional<CachedAttachment> cached = parse_cached(*text);
  if (cached) return cached;
  const Value document = find_document(*text);
  if (!document.is_object() || document.contains("kind")) {
    log::warning("{} is no result of an attachment, ignoring", file);
    return std::nullopt;
  }
  cached.emplace();
  cached->network = network;
  cached->attachment = attachment;
  cached->result = document;
  return cached;
}

bool Cache::delete_if_exists(const std::string& network, const Attachment& attachment) const {
  return delete_file_if_exists(path(network, attachment));
}

std::vector<CachedAttachment> Cache::list(const std::string& network) const {
  std::vector<std::string> files;
  std::error_code error;
  for (fs::directory_iterator entry(results(), error), end; !error && entry != end;
       entry.increment(error)) {
    const std::string name = entry->path().filename().string();
    std::error_code ignored;
    if (name.starts_with(network + "-") && entry->is_regular_file(ignored)) {
      files.push_back(entry->path().string());
    }
  }
  const bool absent = error == std::errc::no_such_file_or_directory;
  if (error && !absent) throw IoError(error.value(), fmt::format("list {}", results()));
  std::ranges::sort(files);

  std::vector<CachedAttachment> list;
  for (const std::string& file : files) {
    const std::optional<std::string> text = find_file(file, kLongestFile);
    std::optional<CachedAttachment> cached = text ? parse_cached(*text) : std::nullopt;
    // "net-1" and "net" both have files that start with "net-".
    if (cached && cached->network == network) list.push_back(*std::move(cached));
  }
  return list;
}

}  // namespace cni::cnictl
