// Network namespaces (network_namespaces(7)). Nothing here knows CNI.
#pragma once

#include <sys/types.h>

#include <optional>
#include <string>

#include "base/error.h"
#include "base/unique_fd.h"

namespace cni::netns {

// A path that should name a network namespace and does not.
class InvalidNetns : public SystemError {
 public:
  using SystemError::SystemError;
  // For a reason that errno has no words for. what() reads "<attempt>: <reason>".
  InvalidNetns(int error_number, const std::string& attempt, const std::string& reason)
      : SystemError(error_number, attempt, reason) {}
};

// An open network namespace. It is opened once; whatever happens to the path afterwards, this is
// still the same namespace.
class Netns {
 public:
  // Opens the namespace at `path` without waiting (FIFO) or following what is no namespace.
  // Throws InvalidNetns: `failed to open netns "<path>": failed to Statfs "<path>": <errno>`, or
  // `...: unknown FS magic on "<path>": <hex>`, or `...: not a network namespace`.
  static Netns open(const std::string& path);

  // Nothing if the path is empty or does not exist (ENOENT, ENOTDIR); otherwise as open().
  static std::optional<Netns> find(const std::string& path);

  // The namespace this process is in.
  static Netns own();

  int fd() const { return fd_.get(); }
  const std::string& path() const { return path_; }
  dev_t device() const { return device_; }
  ino_t inode() const { return inode_; }

  // The same namespace, however it was reached (st_dev and st_ino of nsfs, namespaces(7)).
  friend bool operator==(const Netns& one, const Netns& other) {
    return one.device_ == other.device_ && one.inode_ == other.inode_;
  }

 private:
  Netns(UniqueFd fd, std::string path, dev_t device, ino_t inode)
      : fd_(std::move(fd)), path_(std::move(path)), device_(device), inode_(inode) {}

  UniqueFd fd_;
  std::string path_;
  dev_t device_;
  ino_t inode_;
};

// This thread is inside `netns` while the object lives: for sysctls and for opening sockets. If
// there is no way home the process ends at once, since going on in the wrong namespace would do
// damage.
class Scope {
 public:
  // Throws InvalidNetns `enter netns "<path>": <errno>`, for example EPERM if another user
  // namespace owns it.
  explicit Scope(const Netns& netns);
  Scope(const Scope&) = delete;
  Scope& operator=(const Scope&) = delete;
  ~Scope();

 private:
  UniqueFd home_;
};

}  // namespace cni::netns
