#include "base/error.h"

#include <fmt/format.h>

#include <cctype>
#include <cerrno>
#include <cstring>

namespace cni {

std::string errno_text(int error_number) {
  const char* description = ::strerrordesc_np(error_number);
  if (description == nullptr) return fmt::format("errno {}", error_number);
  std::string text = description;
  // "Is a directory" becomes "is a directory", "RFS specific error" stays.
  if (text.size() > 1 && std::islower(static_cast<unsigned char>(text[1])) != 0) {
    text[0] = static_cast<char>(std::tolower(static_cast<unsigned char>(text[0])));
  }
  return text;
}

SystemError::SystemError(int error_number, const std::string& attempt)
    : SystemError(error_number, attempt, errno_text(error_number)) {}

SystemError::SystemError(int error_number, const std::string& attempt, const std::string& reason)
    : std::runtime_error(fmt::format("{}: {}", attempt, reason)), number_(error_number) {}

void throw_errno(const std::string& attempt) {
  throw SystemError(errno, attempt);
}

void throw_io_errno(const std::string& attempt) {
  throw IoError(errno, attempt);
}

std::string current_exception_text() {
  try {
    throw;
  } catch (const std::exception& error) {
    return error.what();
  } catch (...) {
    return "unknown failure";
  }
}

}  // namespace cni
