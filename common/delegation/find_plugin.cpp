#include "delegation/find_plugin.h"

#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/text.h"
#include "protocol/error.h"

namespace cni::delegation {
namespace {

bool is_regular_file(const std::string& path) {
  struct stat status{};
  return ::stat(path.c_str(), &status) == 0 && S_ISREG(status.st_mode);
}

}  // namespace

std::string find_plugin(std::string_view type, std::string_view cni_path, std::string_view key) {
  const std::string details = fmt::format("key {} is {}", in_quotes(key), in_quotes(type));
  const auto refuse = [&](const std::string& message) {
    throw Error(Code::kInvalidConfig, message, details);
  };
  if (type.empty()) refuse("no plugin name provided");
  if (!is_plain_name(type)) refuse(fmt::format("invalid plugin name: {}", cut(type)));
  std::vector<std::string> directories = split(cni_path, ':');
  std::erase(directories, "");
  if (directories.empty()) {
    throw Error(Code::kInvalidEnvironment, "required env variables [CNI_PATH] missing",
                fmt::format("it says where to find the plugin {}", in_quotes(type)));
  }
  for (const std::string& directory : directories) {
    const std::string path = fmt::format("{}/{}", directory, type);
    if (!is_regular_file(path)) continue;
    if (::access(path.c_str(), X_OK) != 0) {
      refuse(fmt::format("plugin {} is not executable: {}", in_quotes(type), path));
    }
    return path;
  }
  std::string searched = fmt::format("{}", fmt::join(directories, " "));
  constexpr std::size_t kShown = 1024;
  if (searched.size() > kShown) searched = searched.substr(0, kShown) + "...";
  refuse(
      fmt::format("failed to find plugin {} in path [{}]", in_quotes(type), valid_utf8(searched)));
  return {};
}

}  // namespace cni::delegation
