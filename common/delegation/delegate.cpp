#include "delegation/delegate.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>

#include "base/text.h"
#include "exec/child.h"
#include "json/parse.h"
#include "json/reader.h"
#include "protocol/error.h"
#include "protocol/result_versions.h"

namespace cni::delegation {
namespace {

std::optional<json::Value> find_document(const std::string& text) {
  try {
    return json::parse(text);
  } catch (const json::SyntaxError&) {
    return std::nullopt;
  }
}

json::Value parse_object(const std::string& answer, const std::string& who) {
  try {
    json::Value document = json::parse(answer);
    if (document.is_null()) return json::Value::object();
    if (document.is_object()) return document;
    throw json::SyntaxError("it is not an object");
  } catch (const json::SyntaxError& error) {
    throw Error(Code::kInternal, fmt::format("failed to unmarshal raw result: {}", error.what()),
                who);
  }
}

[[noreturn]] void throw_failure(const std::string& path, const exec::Outcome& outcome) {
  const std::string who = fmt::format("plugin {}", path);
  if (outcome.ending == exec::Ending::kTimedOut) {
    throw Error(Code::kTryAgainLater, fmt::format("{}: {}", who, exec::describe(outcome)));
  }
  if (outcome.ending == exec::Ending::kFlooded) {
    throw Error(Code::kInternal, fmt::format("{}: {}", who, exec::describe(outcome)));
  }
  const std::string ending = exec::describe(outcome);
  if (trim(outcome.out).empty()) {
    const std::string_view said = trim(outcome.err);
    throw Error(Code::kInternal,
                said.empty()
                    ? fmt::format("netplugin failed with no error message: {} ({})", ending, who)
                    : fmt::format("netplugin failed: {} ({}, {})", in_quotes(said), who, ending));
  }
  const std::optional<json::Value> document = find_document(outcome.out);
  const std::optional<Error> error = document ? parse_error_document(*document) : std::nullopt;
  if (error) throw *error;
  throw Error(Code::kInternal,
              fmt::format("netplugin failed but error parsing its diagnostic message {} ({}, {})",
                          in_quotes(trim(outcome.out)), who, ending));
}

}  // namespace

std::chrono::milliseconds time_limit() {
  const char* seconds = std::getenv("CNI_DELEGATE_TIMEOUT");
  const auto number = parse_number<unsigned>(seconds == nullptr ? "" : seconds);
  if (number && *number > 0 && *number <= 86400) return std::chrono::seconds(*number);
  return exec::Limits{}.time;
}

std::vector<std::string> environment_with(const Variables& variables) {
  std::vector<std::string> environment;
  for (char** variable = ::environ; variable != nullptr && *variable != nullptr; ++variable) {
    const std::string_view text(*variable);
    if (!variables.contains(std::string(text.substr(0, text.find('='))))) {
      environment.emplace_back(text);
    }
  }
  for (const auto& [name, value] : variables) {
    environment.push_back(fmt::format("{}={}", name, value));
  }
  return environment;
}

std::string call(const std::string& path, const Variables& variables, std::string_view input,
                 std::chrono::milliseconds time) {
  exec::Limits limits;
  limits.time = time;
  exec::Outcome outcome = exec::run_child(path, environment_with(variables), input, limits);
  if (outcome.ending != exec::Ending::kExited || outcome.number != 0) throw_failure(path, outcome);
  return std::move(outcome.out);
}

std::string call(const std::string& path, Command command, std::string_view input,
                 std::chrono::milliseconds time) {
  return call(path, Variables{{"CNI_COMMAND", std::string(text(command))}}, input, time);
}

Result parse_answer(const std::string& answer, Version version, std::string_view plugin) {
  const std::string who = plugin.empty() ? "" : fmt::format("plugin {}", plugin);
  const json::Value document = parse_object(answer, who);
  const json::Reader reader(document);
  try {
    const std::string given = reader["cniVersion"].string_or("");
    const std::optional<Version> own = given.empty() ? version : find_version(given);
    if (!own) {
      throw Error(Code::kInternal,
                  fmt::format("unsupported CNI result version {}", in_quotes(given)), who);
    }
    return parse_result(reader, *own);
  } catch (const json::ValueError& error) {
    throw Error(Code::kInternal, fmt::format("failed to convert result: {}", error.what()),
                who.empty() ? error.place() : fmt::format("{}: {}", who, error.place()));
  }
}

}  // namespace cni::delegation
