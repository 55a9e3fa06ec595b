#include "fuzz/scratch.h"

#include <stdlib.h>  // NOLINT(modernize-deprecated-headers): mkdtemp

#include <filesystem>
#include <stdexcept>

namespace cni::fuzz {
namespace {

namespace fs = std::filesystem;

std::string parent() {
  if (const char* chosen = std::getenv("TMPDIR"); chosen != nullptr && *chosen != '\0') {
    return chosen;
  }
  return fs::is_directory("/dev/shm") ? "/dev/shm" : "/tmp";
}

class Directory {
 public:
  Directory() : path_(parent() + "/fuzz-XXXXXX") {
    if (::mkdtemp(path_.data()) == nullptr) throw std::runtime_error("cannot make " + path_);
  }
  Directory(const Directory&) = delete;
  Directory& operator=(const Directory&) = delete;
  ~Directory() {
    std::error_code ignored;
    fs::remove_all(path_, ignored);
  }

  void empty() const {
    for (const auto& entry : fs::directory_iterator(path_)) fs::remove_all(entry.path());
  }
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

}  // namespace

const std::string& fresh_directory() {
  static const Directory directory;
  directory.empty();
  return directory.path();
}

}  // namespace cni::fuzz
