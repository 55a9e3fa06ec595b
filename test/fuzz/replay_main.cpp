// Runs every file of the corpus through its target:
//
//   replay_corpus CORPUS [TARGET...]
//
// Prints "replay: N passed, N failed, 0 skipped" after what failed. A target without a corpus is a
// failure, and so is a folder without a target.

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <exception>
#include <filesystem>
#include <string>
#include <vector>

#include "base/file.h"
#include "fuzz/targets.h"

namespace cni::fuzz {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t kLongestSample = std::size_t{32} << 20U;  // bytes

constexpr std::array kTargets = {
#define CNI_FUZZ_TARGET(target) Target{.name = #target, .run = target},
#include "fuzz/targets.inc"
#undef CNI_FUZZ_TARGET
};

struct Counts {
  int passed = 0;
  int failed = 0;
};

void fail(Counts& counts, const std::string& what) {
  ++counts.failed;
  fmt::print("FAILED {}\n", what);
}

void replay(const Target& target, const fs::path& sample, Counts& counts) {
  try {
    run(target, read_file(sample.string(), kLongestSample));
    ++counts.passed;
  } catch (const std::exception& error) {
    fail(counts, fmt::format("{}: {}", sample.string(), error.what()));
  }
}

std::vector<fs::path> sorted_entries(const fs::path& directory) {
  std::vector<fs::path> entries;
  std::error_code absent;
  for (const auto& entry : fs::directory_iterator(directory, absent))
    entries.push_back(entry.path());
  std::ranges::sort(entries);
  return entries;
}

void replay_all(const Target& target, const fs::path& corpus, Counts& counts) {
  const auto samples = sorted_entries(corpus / target.name);
  if (samples.empty()) fail(counts, fmt::format("{}: it has no corpus", target.name));
  for (const fs::path& sample : samples) replay(target, sample, counts);
}

void require_targets(const fs::path& corpus, Counts& counts) {
  for (const fs::path& folder : sorted_entries(corpus)) {
    const auto known = [&](const Target& target) { return target.name == folder.filename(); };
    if (std::ranges::none_of(kTargets, known)) {
      fail(counts, fmt::format("{}: no target has this name", folder.string()));
    }
  }
}

}  // namespace
}  // namespace cni::fuzz

int main(int argc, char** argv) {
  using namespace cni::fuzz;  // NOLINT(google-build-using-namespace)
  const std::vector<std::string> arguments(argv + 1, argv + argc);
  if (arguments.empty()) {
    fmt::print(stderr, "usage: replay_corpus CORPUS [TARGET...]\n");
    return 2;
  }
  const std::vector<std::string> chosen(arguments.begin() + 1, arguments.end());
  Counts counts;
  require_targets(arguments.front(), counts);
  for (const Target& target : kTargets) {
    if (chosen.empty() || std::ranges::find(chosen, target.name) != chosen.end()) {
      replay_all(target, arguments.front(), counts);
    }
  }
  fmt::print("replay: {} passed, {} failed, 0 skipped\n", counts.passed, counts.failed);
  return counts.failed == 0 && counts.passed > 0 ? 0 : 1;
}
