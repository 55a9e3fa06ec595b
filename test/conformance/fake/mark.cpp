#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "fake/fake.h"

namespace fake {
namespace {

namespace fs = std::filesystem;

std::string folder(const Request& request) {
  return "/var/lib/cni/fake/" + (defect("GC-06") ? "all" : request.network);
}

std::string file(const Request& request) {
  return folder(request) + "/" + request.id + " " + request.ifname;
}

}  // namespace

void lock() {
  static int fd = -1;
  if (fd >= 0) return;
  fd = ::open("/run/fake.lock", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (fd < 0 || ::flock(fd, LOCK_EX) != 0) throw Error(5, "cannot lock");
}

void leave_mark(const Request& request) {
  fs::create_directories(folder(request));
  std::ofstream(file(request)) << request.netns;
}

bool has_mark(const Request& request) {
  return fs::exists(file(request));
}

void remove_mark(const Request& request) {
  std::error_code ignored;
  if (defect("DEL-08") && fs::exists(folder(request))) {
    for (const auto& entry : fs::directory_iterator(folder(request))) {
      if (entry.path().filename().string().starts_with(request.id)) fs::remove(entry.path());
    }
  }
  fs::remove(file(request), ignored);
}

void remove_marks_of_the_dead(const Request& request) {
  if (!fs::exists(folder(request))) return;
  for (const auto& entry : fs::directory_iterator(folder(request))) {
    const std::string name = entry.path().filename();
    const std::size_t blank = name.find(' ');
    const std::string interface = blank == std::string::npos ? "" : name.substr(blank + 1);
    if (!request.is_valid_attachment(name.substr(0, blank), interface)) fs::remove(entry.path());
  }
}

}  // namespace fake
