// A lock between processes: flock(2) on a file that stays where it is. The inode is the lock, so
// the file is never written, renamed over or deleted.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <optional>
#include <string>

#include "base/unique_fd.h"

namespace cni::state {

class FileLock {
 public:
  enum class Mode { kShared, kExclusive };
  static constexpr std::chrono::milliseconds kDefaultWait = std::chrono::seconds(30);

  // Makes the file (mode 0750 minus umask) in an existing directory if need be, and waits for the
  // lock. If something that is no regular file has the name, nothing is opened through it and the
  // directory itself is locked. Throws Busy, which names the lock, if `wait` has passed; IoError.
  //
  // While it has to wait it uses SIGALRM and ITIMER_REAL of this process, and restores both: two
  // threads must not do so at the same time.
  static FileLock acquire(const std::string& path, Mode mode = Mode::kExclusive,
                          std::chrono::milliseconds wait = kDefaultWait);

  // The same without making the file; nothing if it is not there.
  static std::optional<FileLock> find(const std::string& path, Mode mode = Mode::kShared,
                                      std::chrono::milliseconds wait = kDefaultWait);

  // The lock of programs that are not ours, as they take it: links are followed, whatever is there
  // is locked, and a file that is not there is made with `file_mode` minus umask. Otherwise as
  // acquire().
  static FileLock acquire_of_others(const std::string& path, mode_t file_mode,
                                    std::chrono::milliseconds wait);

 private:
  explicit FileLock(UniqueFd fd) : fd_(std::move(fd)) {}
  UniqueFd fd_;
};

}  // namespace cni::state
