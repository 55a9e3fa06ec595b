// Small files in one directory that hold state across processes.
//
// Names are looked up in the open directory, no link is followed, and only regular files are
// read or written: whatever else has the name is foreign, and is left alone. Every failure is
// an IoError that names the path. Writers take turns by a lock of their own (file_lock.h).
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/unique_fd.h"

namespace cni::state {

enum class Kind { kAbsent, kFile, kForeign };

struct Found {
  Kind kind = Kind::kAbsent;
  std::string content = {};  // of a file
  bool complete = true;      // false: there is more of it than the limit allowed
  std::size_t size = 0;      // of the whole file
};

enum class Durability {
  kProcess,  // outlives this process
  kReboot,   // and a loss of power: the content and the name are on disk on return
};

// A directory's time of last modification, used as a mark: the kernel overwrites it whenever
// somebody makes, renames or deletes an entry.
struct Mark {
  std::int64_t seconds = 0;
  std::int64_t nanoseconds = 0;

  friend bool operator==(const Mark&, const Mark&) = default;
};

class DirectoryStore {
 public:
  // The directory at `path`, which is followed as written; nothing if there is none (ENOENT).
  static std::optional<DirectoryStore> find(const std::string& path);
  // Made with its parents if need be.
  static DirectoryStore ensure(const std::string& path, mode_t mode);

  // A directory in this one; nothing if the name is absent or foreign.
  std::optional<DirectoryStore> find_below(const std::string& name) const;
  DirectoryStore ensure_below(const std::string& name, mode_t mode) const;

  const std::string& path() const { return path_; }
  std::string path_of(const std::string& name) const { return path_ + '/' + name; }
  int fd() const { return fd_.get(); }

  // From `offset` to the end, at most `limit` bytes.
  Found read(const std::string& name, std::size_t limit, std::size_t offset = 0) const;

  // Makes a file that exists whole or not at all, also if this process is killed. Returns false if
  // the name is taken.
  bool create(const std::string& name, std::string_view content, mode_t mode) const;

  // Puts a file in the place of whatever has the name, except a directory; readers see the old or
  // the new one. Uses the name `.new` on the way.
  void replace(const std::string& name, std::string_view content, mode_t mode,
               Durability durability = Durability::kProcess) const;

  // Writes into the file, which is made if it is absent, and leaves the rest of it. A reader or
  // a crash may see it half done.
  void write_at(const std::string& name, std::size_t offset, std::string_view content,
                mode_t mode) const;

  // The same with the whole content.
  void overwrite(const std::string& name, std::string_view content, mode_t mode) const;

  // Returns whether it was there. A directory is an IoError.
  bool delete_if_exists(const std::string& name) const;

  // Of all entries but "." and "..", in no order.
  std::vector<std::string> names() const;

  Mark mark() const;
  // Sets a mark that nobody has seen before. Nothing if the file system cannot hold it exactly.
  std::optional<Mark> set_new_mark() const;

 private:
  DirectoryStore(UniqueFd fd, std::string path) : fd_(std::move(fd)), path_(std::move(path)) {}
  UniqueFd open_for_writing(const std::string& name, mode_t mode) const;

  UniqueFd fd_;
  std::string path_;
};

}  // namespace cni::state
