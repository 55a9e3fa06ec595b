// The vectors of errors in cni-spec/, as far as they need no delegate.
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <filesystem>
#include <map>

#include "base/file.h"
#include "base/unique_fd.h"
#include "protocol/plugin.h"
#include "support/sandbox.h"

using cni::UniqueFd;
using nlohmann::json;

namespace {

const std::filesystem::path kVectors = CNI_SOURCE_DIRECTORY "/cni-spec/vectors/error";

cni::Plugin idle_plugin() {
  const auto nothing = [](const cni::Request&) {};
  return {
      .name = "idle",
      .netns = cni::NetnsUse::kIgnores,
      .add = [](const cni::Request&, cni::Undo&) { return cni::Result{}; },
      .check = nothing,
      .del = nothing,
      .status = nothing,
      .gc = nothing,
  };
}

UniqueFd file_with(const std::string& content) {
  UniqueFd file(::memfd_create("vector", MFD_CLOEXEC));
  REQUIRE(file);
  cni::write_all(file.get(), content, "a file");
  ::lseek(file.get(), 0, SEEK_SET);
  return file;
}

UniqueFd input_of(const json& vector) {
  if (vector.contains("stdin")) return UniqueFd(::open("/", O_RDONLY | O_CLOEXEC));
  const json& input = vector.at("input");
  if (input.is_string()) return file_with(input.get<std::string>());
  json config = {{"name", "net"}, {"type", "idle"}};
  config.update(input);
  return file_with(config.dump());
}

std::map<std::string, std::string> environment_of(const json& vector) {
  auto environment = vector.at("environment").get<std::map<std::string, std::string>>();
  environment.try_emplace("CNI_PATH", "/absent");
  for (auto& [name, value] : environment) {
    if (value == "{container}") value = "/absent";
    if (value == "{host}") value = "/proc/self/ns/net";
  }
  return environment;
}

json error_of(const json& vector) {
  const auto environment = environment_of(vector);
  const UniqueFd in = input_of(vector);
  const UniqueFd out = file_with("");
  const UniqueFd err = file_with("");
  const int status =
      cni::run_plugin(idle_plugin(), {.variable = [&](const char* name) -> std::string {
                                        const auto found = environment.find(name);
                                        return found == environment.end() ? "" : found->second;
                                      },
                                      .in = in.get(),
                                      .out = out.get(),
                                      .err = err.get()});
  CHECK(status == 1);
  ::lseek(out.get(), 0, SEEK_SET);
  return json::parse(cni::read_all(out.get(), 1'000'000, "a file"));
}

}  // namespace

TEST_CASE("every vector of errors ends with its error", "[protocol]") {
  int seen = 0;
  for (const auto& entry : std::filesystem::directory_iterator(kVectors)) {
    const json vector = json::parse(cni::test::read_whole_file(entry.path()));
    // These are for main plugins: cni-conformance runs them.
    if (vector.contains("delegate")) continue;
    ++seen;
    INFO(entry.path().filename());
    const json& expected = vector.at("expected");
    const json error = error_of(vector);
    CHECK(error.at("cniVersion") == expected.at("cniVersion"));
    CHECK(error.at("code") == expected.at("code"));
    const std::string text = error.at("msg").get<std::string>() + error.value("details", "");
    for (const std::string word : expected.at("mentions")) {
      CHECK_THAT(text, Catch::Matchers::Contains(word));
    }
  }
  CHECK(seen > 0);
}
