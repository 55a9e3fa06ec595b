#include "state/file_lock.h"

#include <sys/stat.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <chrono>
#include <csignal>
#include <filesystem>
#include <thread>

#include "base/error.h"
#include "support/sandbox.h"

using cni::state::FileLock;
using cni::test::TempDirectory;
using std::chrono::milliseconds;
using Mode = FileLock::Mode;

namespace {

// Holds the lock in another process until it is told to stop.
class Holder {
 public:
  Holder(const std::string& path, Mode mode) {
    int pipe[2];
    REQUIRE(::pipe(pipe) == 0);
    child_ = ::fork();
    REQUIRE(child_ >= 0);
    if (child_ == 0) {
      const FileLock lock = FileLock::acquire(path, mode);
      [[maybe_unused]] const auto told = ::write(pipe[1], "x", 1);
      ::pause();
      ::_exit(0);
    }
    char byte = 0;
    REQUIRE(::read(pipe[0], &byte, 1) == 1);
    ::close(pipe[0]);
    ::close(pipe[1]);
  }
  ~Holder() { stop(); }
  void stop() {
    if (child_ <= 0) return;
    ::kill(child_, SIGKILL);
    ::waitpid(child_, nullptr, 0);
    child_ = -1;
  }

 private:
  pid_t child_;
};

}  // namespace

TEST_CASE("a lock excludes other processes", "[state]") {
  const TempDirectory root;
  const std::string path = root / "lock";
  CHECK_FALSE(FileLock::find(path).has_value());
  {
    Holder holder(path, Mode::kExclusive);
    CHECK_THROWS_AS(FileLock::acquire(path, Mode::kExclusive, milliseconds(50)), cni::Busy);
    CHECK_THROWS_AS(FileLock::find(path, Mode::kShared, milliseconds(50)), cni::Busy);
    CHECK_THROWS_WITH(FileLock::acquire(path, Mode::kExclusive, milliseconds(50)),
                      "lock " + path + ": still held by another process after 50 ms");
    std::thread release([&] {
      std::this_thread::sleep_for(milliseconds(50));
      holder.stop();
    });
    FileLock::acquire(path);
    release.join();
  }
  const Holder holder(path, Mode::kShared);
  CHECK(FileLock::find(path).has_value());
  CHECK_THROWS_AS(FileLock::acquire(path, Mode::kExclusive, milliseconds(20)), cni::Busy);
}

TEST_CASE("waiting for a lock leaves no signal and no timer behind", "[state]") {
  const TempDirectory root;
  const std::string path = root / "lock";
  const Holder holder(path, Mode::kExclusive);
  std::signal(SIGALRM, SIG_IGN);
  CHECK_THROWS_AS(FileLock::acquire(path, Mode::kExclusive, milliseconds(20)), cni::Busy);
  CHECK(std::signal(SIGALRM, SIG_DFL) == SIG_IGN);
  itimerval timer{};
  REQUIRE(::getitimer(ITIMER_REAL, &timer) == 0);
  CHECK(timer.it_value.tv_sec == 0);
  CHECK(timer.it_value.tv_usec == 0);
}

TEST_CASE("what is no regular file makes the directory the lock", "[state]") {
  const TempDirectory root;
  const std::string path = root / "lock";
  const int kind = GENERATE(0, 1, 2, 3);
  if (kind == 0) std::filesystem::create_directory(path);
  if (kind == 1) std::filesystem::create_symlink("/etc/passwd", path);
  if (kind == 2) std::filesystem::create_symlink("nowhere", path);
  if (kind == 3) REQUIRE(::mkfifo(path.c_str(), 0600) == 0);
  const Holder holder(path, Mode::kExclusive);
  CHECK_THROWS_AS(FileLock::acquire(path, Mode::kExclusive, milliseconds(20)), cni::Busy);
  CHECK_THROWS_AS(FileLock::find(path, Mode::kShared, milliseconds(20)), cni::Busy);
  CHECK_FALSE(std::filesystem::exists(root / "nowhere"));
}

TEST_CASE("a lock in no directory is an error", "[state]") {
  const TempDirectory root;
  CHECK_THROWS_AS(FileLock::acquire(root / "a/lock"), cni::IoError);
  CHECK_FALSE(FileLock::find(root / "a/lock").has_value());
}
