#include "support/descriptors.h"

#include <filesystem>
#include <system_error>

namespace cni::test {

std::set<std::string> open_descriptors() {
  namespace fs = std::filesystem;
  std::set<std::string> found;
  for (const auto& entry : fs::directory_iterator("/proc/self/fd")) {
    std::error_code gone;
    const std::string target = fs::read_symlink(entry.path(), gone).string();
    // The iterator's own has gone by the time it is asked for again.
    if (!gone) found.insert(entry.path().filename().string() + " -> " + target);
  }
  std::erase_if(found, [](const std::string& line) {
    return !fs::exists(fs::symlink_status("/proc/self/fd/" + line.substr(0, line.find(' '))));
  });
  return found;
}

}  // namespace cni::test
