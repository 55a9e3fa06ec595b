#include "base/error.h"

#include <fmt/format.h>
#include <linux/capability.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <cctype>
#include <cerrno>
#include <cstring>
#include <vector>

namespace cni {
namespace {

struct Capability {
  unsigned number;
  const char* name;
};

// CAP_NET_RAW is for legacy xtables alone.
constexpr std::array<Capability, 3> kNeeded = {{{CAP_NET_ADMIN, "CAP_NET_ADMIN"},
                                                {CAP_SYS_ADMIN, "CAP_SYS_ADMIN"},
                                                {CAP_NET_RAW, "CAP_NET_RAW"}}};

std::vector<const char*> missing_capabilities() {
  __user_cap_header_struct header{.version = _LINUX_CAPABILITY_VERSION_3, .pid = 0};
  std::array<__user_cap_data_struct, _LINUX_CAPABILITY_U32S_3> sets{};
  if (::syscall(SYS_capget, &header, sets.data()) != 0) return {};
  std::vector<const char*> missing;
  for (const Capability& capability : kNeeded) {
    const auto& set = sets.at(CAP_TO_INDEX(capability.number));
    if ((set.effective & CAP_TO_MASK(capability.number)) == 0) missing.push_back(capability.name);
  }
  return missing;
}

}  // namespace

std::string errno_text(int error_number) {
  const char* description = ::strerrordesc_np(error_number);
  if (description == nullptr) return fmt::format("errno {}", error_number);
  std::string text = description;
  // "Is a directory" becomes "is a directory", "RFS specific error" stays.
  if (text.size() > 1 && std::islower(static_cast<unsigned char>(text[1])) != 0) {
    text[0] = static_cast<char>(std::tolower(static_cast<unsigned char>(text[0])));
  }
  if (error_number == EPERM) {
    const auto missing = missing_capabilities();
    if (!missing.empty()) text += fmt::format(" (without {})", fmt::join(missing, ", "));
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
