#include "delegation/delegate.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>

#include "base/text.h"
#include "exec/child.h"
#include "json/parse.h"
#include "protocol/error.h"

namespace cni::delegation {
namespace {

exec::Limits limits() {
  exec::Limits limits;
  const char* seconds = std::getenv("CNI_DELEGATE_TIMEOUT");
  if (seconds == nullptr) return limits;
  const auto number = parse_number<unsigned>(seconds);
  if (number && *number > 0 && *number <= 86400) limits.time = std::chrono::seconds(*number);
  return limits;
}

std::optional<json::Value> find_document(const std::string& text) {
  try {
    return json::parse(text);
  } catch (const json::SyntaxError&) {
    return std::nullopt;
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

std::vector<std::string> delegate_environment(Command command) {
  std::vector<std::string> variables;
  for (char** variable = ::environ; variable != nullptr && *variable != nullptr; ++variable) {
    if (!std::string_view(*variable).starts_with("CNI_COMMAND=")) variables.emplace_back(*variable);
  }
  variables.push_back(fmt::format("CNI_COMMAND={}", text(command)));
  return variables;
}

std::string call(const std::string& path, Command command, std::string_view input) {
  exec::Outcome outcome = exec::run_child(path, delegate_environment(command), input, limits());
  if (outcome.ending != exec::Ending::kExited || outcome.number != 0) throw_failure(path, outcome);
  return std::move(outcome.out);
}

}  // namespace cni::delegation
