// One line on stderr per event; runtimes keep it or drop it. Nothing secret is logged: no stdin,
// no CNI_ARGS, no previous result.
//
// The environment variable CNI_LOG sets the least level that is printed: error, warning (the
// default), info or debug.
#pragma once

#include <fmt/format.h>

#include <string>

namespace cni::log {

enum class Level { kError, kWarning, kInfo, kDebug };

// The program that speaks, for example "bridge"; stands at the front of every line.
void set_program(const std::string& name);

bool enabled(Level level);
void write(Level level, const std::string& message);

template <typename... Args>
void print(Level level, fmt::format_string<Args...> format, Args&&... args) {
  if (enabled(level)) write(level, fmt::format(format, std::forward<Args>(args)...));
}
template <typename... Args>
void error(fmt::format_string<Args...> format, Args&&... args) {
  print(Level::kError, format, std::forward<Args>(args)...);
}
// Something was ignored, and the line says so.
template <typename... Args>
void warning(fmt::format_string<Args...> format, Args&&... args) {
  print(Level::kWarning, format, std::forward<Args>(args)...);
}
template <typename... Args>
void info(fmt::format_string<Args...> format, Args&&... args) {
  print(Level::kInfo, format, std::forward<Args>(args)...);
}
template <typename... Args>
void debug(fmt::format_string<Args...> format, Args&&... args) {
  print(Level::kDebug, format, std::forward<Args>(args)...);
}

}  // namespace cni::log
