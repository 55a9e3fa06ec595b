#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <stdexcept>
#include <system_error>

#include "support/sandbox.h"

namespace cni::test {
namespace {

[[noreturn]] void fail(const std::string& attempt) {
  throw std::system_error(errno, std::system_category(), attempt);
}

}  // namespace

void write_file(const std::string& path, const std::string& content, mode_t mode) {
  std::ofstream file(path, std::ios::binary | std::ios::trunc);
  file.write(content.data(), static_cast<std::streamsize>(content.size()));
  file.close();
  if (!file || ::chmod(path.c_str(), mode) != 0) {
    throw std::runtime_error("cannot write " + path);
  }
}

std::string read_whole_file(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) throw std::runtime_error("cannot open " + path);
  std::ostringstream content;
  content << file.rdbuf();
  return content.str();
}

TempDirectory::TempDirectory() {
  const char* base = std::getenv("TMPDIR");
  path_ = std::string(base == nullptr || *base == '\0' ? "/tmp" : base) + "/plumb-test-XXXXXX";
  if (::mkdtemp(path_.data()) == nullptr) fail("make a directory " + path_);
  // Plugins on CNI_PATH lie here: readable by all, writable by the owner only.
  if (::chmod(path_.c_str(), 0755) != 0) fail("set the mode of " + path_);
}

TempDirectory::~TempDirectory() {
  std::error_code ignored;
  std::filesystem::remove_all(path_, ignored);
}

std::string TempDirectory::write(const std::string& name, const std::string& content,
                                 mode_t mode) const {
  const std::string path = *this / name;
  std::filesystem::create_directories(std::filesystem::path(path).parent_path());
  write_file(path, content, mode);
  return path;
}

}  // namespace cni::test
