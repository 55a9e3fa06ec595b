#include <fmt/format.h>

#include <algorithm>
#include <catch2/catch.hpp>
#include <filesystem>

#include "cnictl/lint_document.h"
#include "cnictl/lint_keys.h"
#include "support/sandbox.h"

using cni::cnictl::Finding;
using cni::cnictl::Severity;
using cni::test::read_whole_file;

namespace fs = std::filesystem;

namespace {

std::string lines(const std::vector<Finding>& findings) {
  std::string text;
  for (const Finding& finding : findings) {
    const char* severity = finding.severity == Severity::kError     ? "error"
                           : finding.severity == Severity::kWarning ? "warning"
                                                                    : "hint";
    text += fmt::format("{} | {} | {} | {}\n", severity, finding.path, finding.sentence,
                        finding.suggestion);
  }
  return text;
}

std::string lint_file(const fs::path& file) {
  return lines(cni::cnictl::lint_document(read_whole_file(file.string()),
                                          {.file = file.string(), .cni_path = {}}));
}

std::string lint_text(const std::string& text, const std::string& file = "a.conflist",
                      const std::string& cni_path = "") {
  return lines(cni::cnictl::lint_document(text, {.file = file, .cni_path = cni_path}));
}

}  // namespace

// test/golden/lint: <case>.conflist, .conf or .json, and <case>.expected with a line per finding:
// severity | key path | sentence | suggestion.
TEST_CASE("Lint finds in every bad file what is wrong, and no more", "[cnictl]") {
  int cases = 0;
  for (const auto& entry : fs::directory_iterator(CNI_SOURCE_DIRECTORY "/test/golden/lint")) {
    if (entry.path().extension() == ".expected") continue;
    ++cases;
    INFO(entry.path().filename().string());
    fs::path expected = entry.path();
    CHECK(lint_file(entry.path()) ==
          read_whole_file(expected.replace_extension(".expected").string()));
  }
  CHECK(cases >= 12);
}

TEST_CASE("Lint finds nothing in our own examples", "[cnictl]") {
  int files = 0;
  for (const auto& entry : fs::directory_iterator(CNI_SOURCE_DIRECTORY "/conf-examples")) {
    if (entry.path().extension() != ".conflist") continue;
    ++files;
    INFO(entry.path().filename().string());
    CHECK(lint_file(entry.path()) == "");
  }
  CHECK(files > 0);
}

TEST_CASE("Lint looks for the plugins where there are any", "[cnictl]") {
  const cni::test::TempDirectory directory;
  directory.write("bridge", "", 0755);
  const std::string list = R"({"cniVersion": "1.1.0", "name": "web", "plugins": [
      {"type": "bridge", "ipam": {"type": "static"}}]})";
  CHECK(lint_text(list, "a.conflist", directory.path()) ==
        fmt::format("error | plugins[0].ipam.type | failed to find plugin \"static\" in path [{}]"
                    " | \n",
                    directory.path()));
  CHECK(lint_text(list, "a.conflist", directory / "absent") == "");
}

TEST_CASE("The table of plugins is consistent with itself", "[cnictl]") {
  for (const std::string& type : cni::cnictl::known_types()) {
    const auto* plugin = cni::cnictl::find_known_plugin(type);
    REQUIRE(plugin != nullptr);
    INFO(type);
    for (const std::string& capability : plugin->capabilities) {
      CHECK(std::ranges::count(cni::cnictl::known_capabilities(), capability) == 1);
    }
    for (const auto& key : plugin->keys) {
      CHECK(std::ranges::count(plugin->keys, key.name, &cni::cnictl::Key::name) == 1);
    }
  }
  CHECK(cni::cnictl::find_known_plugin("nonsense") == nullptr);
}
