#include "state/directory_store.h"

#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <catch2/catch.hpp>
#include <cerrno>
#include <cstddef>
#include <filesystem>
#include <functional>

#include "base/error.h"
#include "support/sandbox.h"

using cni::IoError;
using cni::state::DirectoryStore;
using cni::state::Durability;
using cni::state::Kind;
using cni::test::TempDirectory;

namespace {

mode_t mode_of(const std::string& path) {
  struct stat status{};
  REQUIRE(::lstat(path.c_str(), &status) == 0);
  return status.st_mode & 07777;
}

// From here on openat(2) with O_TMPFILE says EOPNOTSUPP, as some file systems do.
void forbid_unnamed_files() {
  constexpr unsigned kTmpfile = O_TMPFILE & ~O_DIRECTORY;
  std::array<sock_filter, 6> code = {{
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_openat, 0, 3),
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, args) + 2 * 8),
      BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, kTmpfile, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EOPNOTSUPP),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  }};
  const sock_fprog program = {.len = code.size(), .filter = code.data()};
  if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 ||
      ::prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) != 0) {
    ::_exit(99);
  }
}

// The exit status of `function` in a child.
int in_child(const std::function<int()>& function) {
  const pid_t child = ::fork();
  REQUIRE(child >= 0);
  if (child == 0) {
    try {
      ::_exit(function());
    } catch (...) {
      ::_exit(98);
    }
  }
  int status = 0;
  REQUIRE(::waitpid(child, &status, 0) == child);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

}  // namespace

TEST_CASE("a directory is found or made", "[state]") {
  const TempDirectory root;
  CHECK_FALSE(DirectoryStore::find(root / "a").has_value());
  const auto made = DirectoryStore::ensure(root / "a/b", 0755);
  CHECK(made.path() == root / "a/b");
  CHECK(DirectoryStore::find(root / "a/b").has_value());
  CHECK_FALSE(made.find_below("c").has_value());
  CHECK(made.ensure_below("c", 0755).path() == root / "a/b/c");
  CHECK(made.find_below("c").has_value());

  root.write("file", "");
  CHECK_THROWS_AS(DirectoryStore::find(root / "file"), IoError);
  std::filesystem::create_symlink("c", root / "a/b/link");
  CHECK_FALSE(made.find_below("link").has_value());
  CHECK_THROWS_AS(made.ensure_below("link", 0755), IoError);
}

TEST_CASE("a file is made whole, once", "[state]") {
  const TempDirectory root;
  const auto store = DirectoryStore::ensure(root.path(), 0755);
  const auto make = [&] {
    const bool made = store.create("x", "text", 0600);
    const bool again = store.create("x", "other", 0600);
    return made && !again && store.read("x", 100).content == "text" &&
                   store.names() == std::vector<std::string>{"x"}
               ? 0
               : 1;
  };
  SECTION("by way of an unnamed file") {
    CHECK(make() == 0);
    CHECK(mode_of(root / "x") == 0600);
  }
  SECTION("by way of another name, where there are no unnamed files") {
    root.write(".new", "left by somebody who was killed");
    CHECK(in_child([&] {
            forbid_unnamed_files();
            return make();
          }) == 0);
    CHECK(mode_of(root / "x") == 0600);
  }
}

TEST_CASE("only regular files are read", "[state]") {
  const TempDirectory root;
  const auto store = DirectoryStore::ensure(root.path(), 0755);
  CHECK(store.read("x", 10).kind == Kind::kAbsent);
  root.write("x", "0123456789");
  CHECK(store.read("x", 10).kind == Kind::kFile);
  CHECK(store.read("x", 10).complete);
  CHECK(store.read("x", 4).content == "0123");
  CHECK_FALSE(store.read("x", 4).complete);
  CHECK(store.read("x", 4, 8).content == "89");
  CHECK(store.read("x", 4, 8).complete);
  CHECK(store.read("x", 4, 8).size == 10);
  CHECK(store.read("x", 4, 80).content.empty());

  std::filesystem::create_symlink("x", root / "link");
  std::filesystem::create_directory(root / "directory");
  REQUIRE(::mkfifo((root / "fifo").c_str(), 0600) == 0);
  for (const char* name : {"link", "directory", "fifo"}) {
    CHECK(store.read(name, 10).kind == Kind::kForeign);
    CHECK_FALSE(store.create(name, "text", 0600));
    CHECK_THROWS_AS(store.overwrite(name, "text", 0600), IoError);
  }
  CHECK(store.read("x", 10).content == "0123456789");
}

TEST_CASE("a file is replaced or written into", "[state]") {
  const TempDirectory root;
  const auto store = DirectoryStore::ensure(root.path(), 0755);
  store.replace("x", "one", 0600);
  store.replace("x", "two", 0600, Durability::kReboot);
  CHECK(store.read("x", 10).content == "two");
  std::filesystem::create_symlink("x", root / "link");
  store.replace("link", "three", 0600);
  CHECK(store.read("link", 10).content == "three");
  CHECK(store.read("x", 10).content == "two");
  root.write(".new", "left");
  store.replace("x", "four", 0600);
  CHECK(store.names().size() == 2);

  store.overwrite("x", "5", 0600);
  CHECK(store.read("x", 10).content == "5");
  store.write_at("x", 3, "8", 0600);
  CHECK(store.read("x", 10).content == std::string("5\0\0"
                                                   "8",
                                                   4));

  CHECK(store.delete_if_exists("x"));
  CHECK_FALSE(store.delete_if_exists("x"));
  std::filesystem::create_directory(root / "directory");
  CHECK_THROWS_AS(store.replace("directory", "x", 0600), IoError);
  CHECK_THROWS_AS(store.delete_if_exists("directory"), IoError);
  CHECK_FALSE(std::filesystem::exists(root / ".new"));
}

TEST_CASE("an error names the path", "[state]") {
  const TempDirectory root;
  const auto store = DirectoryStore::ensure(root.path(), 0755);
  std::filesystem::create_directory(root / "directory");
  CHECK_THROWS_WITH(store.overwrite("directory", "", 0600),
                    "open " + (root / "directory") + ": is a directory");
}

TEST_CASE("a mark holds until somebody changes the directory", "[state]") {
  const TempDirectory root;
  const auto store = DirectoryStore::ensure(root.path(), 0755);
  const auto first = store.set_new_mark();
  REQUIRE(first.has_value());
  CHECK(store.mark() == *first);
  root.write("x", "");
  CHECK_FALSE(store.mark() == *first);
  const auto second = store.set_new_mark();
  CHECK_FALSE(second == first);
  root.write("x", "content does not count");
  CHECK(store.mark() == *second);
  std::filesystem::remove(root / "x");
  CHECK_FALSE(store.mark() == *second);
}
