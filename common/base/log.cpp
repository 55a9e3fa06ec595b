#include "base/log.h"

#include <unistd.h>

#include <cstdlib>
#include <string_view>

#include "base/text.h"

namespace cni::log {
namespace {

std::string& program() {
  static std::string name = "cni";
  return name;
}

Level threshold() {
  static const Level level = [] {
    const char* chosen = std::getenv("CNI_LOG");
    const std::string_view name = chosen == nullptr ? "" : chosen;
    if (name == "error") return Level::kError;
    if (name == "info") return Level::kInfo;
    if (name == "debug") return Level::kDebug;
    return Level::kWarning;
  }();
  return level;
}

std::string_view level_name(Level level) {
  switch (level) {
    case Level::kError:
      return "error";
    case Level::kWarning:
      return "warning";
    case Level::kInfo:
      return "info";
    case Level::kDebug:
      return "debug";
  }
  return "";
}

}  // namespace

void set_program(const std::string& name) {
  program() = name;
}

bool enabled(Level level) {
  return level <= threshold();
}

void write(Level level, const std::string& message) {
  const std::string line =
      fmt::format("{}: {}: {}\n", program(), level_name(level), valid_utf8(message));
  // One write, so that lines of parallel plugins do not mix. A closed or full stderr is no
  // reason to stop.
  [[maybe_unused]] const ssize_t written = ::write(STDERR_FILENO, line.data(), line.size());
}

}  // namespace cni::log
