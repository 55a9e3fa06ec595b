#include "base/file.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <catch2/catch.hpp>
#include <cerrno>
#include <chrono>
#include <thread>

#include "base/error.h"
#include "support/sandbox.h"

using cni::test::TempDirectory;

namespace {

// The errno of the IoError that `attempt` throws; 0 if it throws nothing.
template <typename Attempt>
int io_error_of(const Attempt& attempt) {
  try {
    attempt();
    return 0;
  } catch (const cni::IoError& error) {
    return error.number();
  }
}

struct Pipe {
  Pipe() {
    std::array<int, 2> ends{};
    REQUIRE(::pipe2(ends.data(), O_CLOEXEC) == 0);
    read = cni::UniqueFd(ends[0]);
    write = cni::UniqueFd(ends[1]);
  }
  cni::UniqueFd read;
  cni::UniqueFd write;
};

}  // namespace

TEST_CASE("a file is read whole", "[base]") {
  const TempDirectory directory;
  const std::string content("a\0b\n", 4);
  CHECK(cni::read_file(directory.write("f", content), 100) == content);
  CHECK(cni::read_file(directory.write("empty", ""), 0).empty());
}

TEST_CASE("a file may be as large as the limit and no larger", "[base]") {
  const TempDirectory directory;
  const std::string path = directory.write("f", std::string(50'000, 'x'));
  CHECK(cni::read_file(path, 50'000).size() == 50'000);
  CHECK(io_error_of([&] { cni::read_file(path, 49'999); }) == EFBIG);
}

TEST_CASE("an absent file is nothing to find_file and an error to read_file", "[base]") {
  const TempDirectory directory;
  CHECK_FALSE(cni::find_file(directory / "absent", 10).has_value());
  CHECK(io_error_of([&] { cni::read_file(directory / "absent", 10); }) == ENOENT);
  const std::string path = directory.write("f", "x");
  CHECK(io_error_of([&] { cni::find_file(path + "/below", 10); }) == ENOTDIR);
}

TEST_CASE("what is no regular file is refused, without waiting", "[base]") {
  const TempDirectory directory;
  REQUIRE(::mkfifo((directory / "fifo").c_str(), 0600) == 0);
  CHECK(io_error_of([&] { cni::read_file(directory / "fifo", 10); }) == EINVAL);
  CHECK(io_error_of([&] { cni::read_file("/dev/zero", 10); }) == EINVAL);
  CHECK(io_error_of([&] { cni::read_file(directory.path(), 10); }) == EISDIR);
}

TEST_CASE("a stream is read to its end, in whatever pieces it comes", "[base]") {
  Pipe pipe;
  std::thread writer([&] {
    for (int piece = 0; piece < 100; ++piece)
      cni::write_all(pipe.write.get(), "0123456789", "pipe");
    pipe.write.reset();
  });
  const std::string data = cni::read_all(pipe.read.get(), 1000, "pipe");
  writer.join();
  CHECK(data.size() == 1000);
}

// A signal ends a write that waits: with a short count if something was written, else with EINTR.
TEST_CASE("short and interrupted writes are carried on with", "[base]") {
  struct sigaction before{};
  struct sigaction interrupt{};
  interrupt.sa_handler = [](int) {};
  REQUIRE(::sigaction(SIGUSR1, &interrupt, &before) == 0);
  Pipe pipe;
  std::string data;
  for (int number = 0; data.size() < 1'000'000; ++number) data += std::to_string(number);
  std::thread writer([&] {
    cni::write_all(pipe.write.get(), data, "pipe");
    pipe.write.reset();
  });
  for (int round = 0; round < 20; ++round) {
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
    ::pthread_kill(writer.native_handle(), SIGUSR1);
  }
  const std::string got = cni::read_all(pipe.read.get(), data.size(), "pipe");
  writer.join();
  ::sigaction(SIGUSR1, &before, nullptr);
  CHECK(got.size() == data.size());
  CHECK(got == data);
}

TEST_CASE("a write that fails names its target", "[base]") {
  const cni::UniqueFd full(::open("/dev/full", O_WRONLY | O_CLOEXEC));
  CHECK_THROWS_WITH(cni::write_all(full.get(), "x", "the result"),
                    "write the result: no space left on device");
  CHECK_NOTHROW(cni::write_all(full.get(), "", "the result"));
}

TEST_CASE("directories are made with their parents", "[base]") {
  const TempDirectory directory;
  const std::string deep = directory / "a/b/c";
  cni::ensure_directory(deep, 0700);
  struct stat status{};
  REQUIRE(::stat(deep.c_str(), &status) == 0);
  CHECK(S_ISDIR(status.st_mode));
  CHECK((status.st_mode & 07777U) == 0700);
  CHECK_NOTHROW(cni::ensure_directory(deep, 0700));
  CHECK_NOTHROW(cni::ensure_directory("/", 0700));
}

TEST_CASE("a file in the place of a directory is an error", "[base]") {
  const TempDirectory directory;
  const std::string path = directory.write("f", "");
  CHECK(io_error_of([&] { cni::ensure_directory(path, 0700); }) == ENOTDIR);
  CHECK(io_error_of([&] { cni::ensure_directory(path + "/below", 0700); }) == ENOTDIR);
}

TEST_CASE("deleting tells whether the file was there", "[base]") {
  const TempDirectory directory;
  const std::string path = directory.write("f", "");
  CHECK(cni::delete_file_if_exists(path));
  CHECK_FALSE(cni::delete_file_if_exists(path));
  CHECK(io_error_of([&] { cni::delete_file_if_exists(directory.path()); }) == EISDIR);
}
