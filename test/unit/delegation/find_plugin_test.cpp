#include "delegation/find_plugin.h"

#include <sys/stat.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <filesystem>

#include "protocol/error.h"
#include "support/sandbox.h"

using Catch::Matchers::Contains;
using cni::Code;
using cni::Error;
using cni::delegation::find_plugin;
using cni::test::TempDirectory;

namespace {

Error refusal_of(std::string_view type, const std::string& cni_path) {
  try {
    static_cast<void>(find_plugin(type, cni_path, "ipam.type"));
  } catch (const Error& error) {
    return error;
  }
  FAIL("found");
  return Error(Code{}, "");
}

}  // namespace

TEST_CASE("the first directory with a regular file of that name wins", "[delegation]") {
  const TempDirectory directory;
  const std::string first = directory.write("a/x", "", 0755);
  const std::string second = directory.write("b/x", "", 0755);
  const std::string a = directory / "a";
  const std::string b = directory / "b";
  CHECK(find_plugin("x", a + ":" + b, "k") == first);
  CHECK(find_plugin("x", b + ":" + a, "k") == second);
  CHECK(find_plugin("x", (directory / "absent") + ":" + b, "k") == second);
}

TEST_CASE("what is no regular file is passed over", "[delegation]") {
  const TempDirectory directory;
  std::filesystem::create_directories(directory / "a/x");
  std::filesystem::create_directories(directory / "f");
  REQUIRE(::mkfifo((directory / "f/x").c_str(), 0755) == 0);
  std::filesystem::create_directories(directory / "s");
  REQUIRE(::symlink("nowhere", (directory / "s/x").c_str()) == 0);
  const std::string file = directory.write("b/x", "", 0755);
  CHECK(find_plugin("x",
                    directory / "a" + ":" + directory.path() + "/f:" + directory.path() +
                        "/s:" + directory.path() + "/b",
                    "k") == file);
  CHECK(refusal_of("x", directory / "a").code() == Code::kInvalidConfig);
}

TEST_CASE("a symbolic link to a regular file is one", "[delegation]") {
  const TempDirectory directory;
  directory.write("real", "", 0755);
  REQUIRE(::symlink("real", (directory / "x").c_str()) == 0);
  CHECK(find_plugin("x", directory.path(), "k") == directory / "x");
}

TEST_CASE("empty elements of CNI_PATH are skipped", "[delegation]") {
  const TempDirectory directory;
  const std::string file = directory.write("x", "", 0755);
  const std::filesystem::path here = std::filesystem::current_path();
  const TempDirectory working;
  working.write("y", "", 0755);
  std::filesystem::current_path(working.path());
  CHECK(find_plugin("x", ":" + directory.path() + ":", "k") == file);
  CHECK(refusal_of("y", "::" + directory.path()).code() == Code::kInvalidConfig);
  CHECK(find_plugin("y", ".", "k") == "./y");
  std::filesystem::current_path(here);
}

TEST_CASE("without CNI_PATH nothing can be found", "[delegation]") {
  for (const char* path : {"", ":", "::::"}) {
    const Error error = refusal_of("x", path);
    CHECK(error.code() == Code::kInvalidEnvironment);
    CHECK(error.what() == std::string("required env variables [CNI_PATH] missing"));
  }
}

TEST_CASE("a type is a plain file name", "[delegation]") {
  const TempDirectory directory;
  directory.write("x", "", 0755);
  directory.write("sub/x", "", 0755);
  const std::string path = directory / "sub";
  CHECK(refusal_of("", path).what() == std::string("no plugin name provided"));
  for (const std::string type : {"../x", "../sub/x", "/bin/sh", "sub/x", "x/", ".", ".."}) {
    INFO(type);
    const Error error = refusal_of(type, path);
    CHECK(error.code() == Code::kInvalidConfig);
    CHECK(error.what() == "invalid plugin name: " + type);
    CHECK_THAT(error.details(), Contains("ipam.type"));
  }
  CHECK(refusal_of(std::string_view("x\0", 2), path).code() == Code::kInvalidConfig);
}

TEST_CASE("a type that is not found is named with where it was looked for", "[delegation]") {
  const TempDirectory directory;
  const Error error = refusal_of("absent", directory.path() + ":/b");
  CHECK(error.code() == Code::kInvalidConfig);
  CHECK(error.what() == "failed to find plugin \"absent\" in path [" + directory.path() + " /b]");
  CHECK(error.details() == "key \"ipam.type\" is \"absent\"");
  CHECK(refusal_of(std::string(300, 'x'), "/").code() == Code::kInvalidConfig);
}

TEST_CASE("a huge CNI_PATH makes no huge message", "[delegation]") {
  std::string path;
  while (path.size() < 100'000) path += "/some/directory\xc3\xa4:";
  CHECK(std::string(refusal_of("absent", path).what()).size() < 2000);
  CHECK(std::string(refusal_of(std::string(100'000, 'x'), "/").what()).size() < 2000);
}

TEST_CASE("a file that cannot be executed is in the way", "[delegation]") {
  const TempDirectory directory;
  const std::string file = directory.write("a/x", "", 0644);
  directory.write("b/x", "", 0755);
  const Error error = refusal_of("x", directory / "a" + ":" + directory.path() + "/b");
  CHECK(error.code() == Code::kInvalidConfig);
  CHECK(error.what() == "plugin \"x\" is not executable: " + file);
}
