#include "state/file_lock.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/time.h>

#include <cerrno>
#include <csignal>

#include "base/deadline.h"
#include "base/error.h"
#include "base/interruption.h"

namespace cni::state {
namespace {

constexpr mode_t kLockMode = 0750;

void do_nothing(int) {}

// Interrupts the system calls of this thread by SIGALRM again and again: a signal that comes just
// before the call, be it the last one or another, would be lost otherwise.
class Alarm {
 public:
  Alarm() {
    struct sigaction action{};
    action.sa_handler = do_nothing;  // no SA_RESTART
    ::sigaction(SIGALRM, &action, &old_action_);
    sigset_t alarm;
    ::sigemptyset(&alarm);
    ::sigaddset(&alarm, SIGALRM);
    ::pthread_sigmask(SIG_UNBLOCK, &alarm, &old_mask_);
    constexpr timeval kPeriod = {.tv_sec = 0, .tv_usec = 20'000};
    constexpr itimerval timer = {.it_interval = kPeriod, .it_value = kPeriod};
    ::setitimer(ITIMER_REAL, &timer, &old_timer_);
  }
  Alarm(const Alarm&) = delete;
  Alarm& operator=(const Alarm&) = delete;
  ~Alarm() {
    ::setitimer(ITIMER_REAL, &old_timer_, nullptr);
    ::pthread_sigmask(SIG_SETMASK, &old_mask_, nullptr);
    ::sigaction(SIGALRM, &old_action_, nullptr);
  }

 private:
  struct sigaction old_action_{};
  sigset_t old_mask_{};
  itimerval old_timer_{};
};

bool try_lock(int fd, int operation, const std::string& path) {
  for (;;) {
    if (::flock(fd, operation | LOCK_NB) == 0) return true;
    if (errno == EWOULDBLOCK) return false;
    if (errno != EINTR) throw_io_errno(fmt::format("lock {}", path));
  }
}

void lock(int fd, FileLock::Mode mode, std::chrono::milliseconds wait, const std::string& path) {
  const int operation = mode == FileLock::Mode::kShared ? LOCK_SH : LOCK_EX;
  if (try_lock(fd, operation, path)) return;
  const Deadline deadline = Deadline::in(wait);
  const Alarm alarm;
  while (::flock(fd, operation) != 0) {
    if (errno != EINTR) throw_io_errno(fmt::format("lock {}", path));
    interruption::check();
    // Once more without waiting: the deadline may have passed while this process was stopped.
    if (deadline.passed()) {
      if (try_lock(fd, operation, path)) return;
      throw Busy(
          fmt::format("lock {}: still held by another process after {} ms", path, wait.count()));
    }
  }
}

// The file if it is a regular one; invalid, with errno, if it cannot be opened as such.
UniqueFd open_regular(const std::string& path, int flags) {
  UniqueFd fd(
      ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | flags, kLockMode));
  struct stat status{};
  if (fd && ::fstat(fd.get(), &status) == 0 && !S_ISREG(status.st_mode)) {
    fd.reset();
    errno = EISDIR;
  }
  return fd;
}

// What open(2) says to a link, a directory, and a socket.
bool is_no_regular_file(int error_number) {
  return error_number == ELOOP || error_number == EISDIR || error_number == ENXIO;
}

UniqueFd open_directory_of(const std::string& path) {
  const std::size_t slash = path.find_last_of('/');
  const std::string directory = slash == std::string::npos ? "." : path.substr(0, slash + 1);
  UniqueFd fd(::open(directory.c_str(), O_RDONLY | O_CLOEXEC | O_DIRECTORY));
  if (!fd) throw_io_errno(fmt::format("open directory {}", directory));
  return fd;
}

}  // namespace

FileLock FileLock::acquire(const std::string& path, Mode mode, std::chrono::milliseconds wait) {
  UniqueFd fd = open_regular(path, O_CREAT);
  if (!fd && is_no_regular_file(errno)) fd = open_directory_of(path);
  if (!fd) throw_io_errno(fmt::format("open lock {}", path));
  lock(fd.get(), mode, wait, path);
  return FileLock(std::move(fd));
}

std::optional<FileLock> FileLock::find(const std::string& path, Mode mode,
                                       std::chrono::milliseconds wait) {
  UniqueFd fd = open_regular(path, 0);
  if (!fd && errno == ENOENT) return std::nullopt;
  if (!fd && is_no_regular_file(errno)) fd = open_directory_of(path);
  if (!fd) throw_io_errno(fmt::format("open lock {}", path));
  lock(fd.get(), mode, wait, path);
  return FileLock(std::move(fd));
}

FileLock FileLock::acquire_of_others(const std::string& path, mode_t file_mode,
                                     std::chrono::milliseconds wait) {
  // O_NONBLOCK: a FIFO would wait for a writer.
  UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CREAT | O_CLOEXEC | O_NONBLOCK, file_mode));
  if (!fd) throw_io_errno(fmt::format("open lock {}", path));
  lock(fd.get(), Mode::kExclusive, wait, path);
  return FileLock(std::move(fd));
}

}  // namespace cni::state
