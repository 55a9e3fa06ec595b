// The only file that compiles Catch2 itself, which takes longer than all the rest of support/.
#define CATCH_CONFIG_RUNNER
#include "support/session.h"

#include <unistd.h>

#include <catch2/catch.hpp>
#include <cstdlib>
#include <fstream>
#include <iostream>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "support/descriptors.h"

namespace cni::test {
namespace {

constexpr int kNothingRan = 77;  // what automake and meson take for "skipped"

Catch::Counts& case_counts() {
  static Catch::Counts counts;
  return counts;
}

class CountingListener : public Catch::TestEventListenerBase {
 public:
  using TestEventListenerBase::TestEventListenerBase;
  void testRunEnded(const Catch::TestRunStats& stats) override {
    case_counts() = stats.totals.testCases;
  }
};

// Cases that left a descriptor open, each with what that was: a leak that no memory checker sees.
std::vector<std::string>& leaks() {
  static std::vector<std::string> found;
  return found;
}

class DescriptorListener : public Catch::TestEventListenerBase {
 public:
  using TestEventListenerBase::TestEventListenerBase;
  void testCaseStarting(const Catch::TestCaseInfo& /*info*/) override {
    before_ = open_descriptors();
  }
  void testCaseEnded(const Catch::TestCaseStats& stats) override {
    for (const std::string& open : open_descriptors()) {
      if (!before_.contains(open)) leaks().push_back(stats.testInfo.name + ": " + open);
    }
  }

 private:
  std::set<std::string> before_;
};

struct Skipped {
  std::string name;
  std::string reason;
};

std::string environment(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? "" : value;
}

void write_lacks(const std::map<std::string, std::string>& lacks) {
  const std::string path = environment("CNI_TEST_LACKS_FILE");
  if (path.empty()) return;
  std::ofstream file(path);
  for (const auto& [tag, reason] : lacks) file << tag << '\n';
  if (!file.flush()) {
    std::cerr << "cannot write " << path << '\n';
    std::exit(EXIT_FAILURE);
  }
}

// The selection without the cases that have one of the tags. Catch2 joins the patterns between
// two commas by "and". Names would not do: its parser refuses a comma in one.
std::vector<std::string> without(const std::vector<std::string>& selection,
                                 const std::map<std::string, std::string>& tags) {
  std::string exclusions;
  for (const auto& [tag, reason] : tags) exclusions += "~[" + tag + "]";
  std::vector<std::string> reduced;
  for (const std::string& pattern : selection) {
    std::string text;
    bool escaped = false;
    for (const char character : pattern) {
      if (character == ',' && !escaped) text += exclusions;
      text += character;
      escaped = character == '\\' && !escaped;
    }
    reduced.push_back(text);
  }
  // Without a pattern hidden cases are left out; with one they would not be.
  if (reduced.empty()) reduced.emplace_back("~[.]");
  reduced.push_back(exclusions);
  return reduced;
}

}  // namespace

CATCH_REGISTER_LISTENER(CountingListener)
CATCH_REGISTER_LISTENER(DescriptorListener)

int run_session(int argc, char** argv, const FindLacks& find_lacks) {
  // What the caller left open is not to be taken for a leak of a tested program.
  static_cast<void>(::close_range(3, ~0U, CLOSE_RANGE_CLOEXEC));
  Catch::Session session;
  if (const int failed = session.applyCommandLine(argc, argv); failed != 0) return failed;
  Catch::ConfigData& data = session.configData();
  if (data.showHelp || data.libIdentify || data.listTests || data.listTags || data.listReporters ||
      data.listTestNamesOnly) {
    return session.run();
  }

  const std::vector<Catch::TestCase> selected =
      Catch::filterTests(Catch::getAllTestCasesSorted(session.config()),
                         session.config().testSpec(), session.config());
  if (!session.config().testSpec().getInvalidArgs().empty()) {
    std::cerr << "the selection of test cases cannot be read\n";
    return EXIT_FAILURE;
  }
  std::set<std::string> tags;
  for (const Catch::TestCase& one : selected) {
    tags.insert(one.getTestCaseInfo().tags.begin(), one.getTestCaseInfo().tags.end());
  }
  const std::map<std::string, std::string> lacks = find_lacks(tags);

  std::vector<Skipped> skipped;
  for (const Catch::TestCase& one : selected) {
    const Catch::TestCaseInfo& info = one.getTestCaseInfo();
    std::string reason;
    for (const std::string& tag : info.tags) {
      if (const auto lack = lacks.find(tag); lack != lacks.end()) {
        reason += (reason.empty() ? "[" : ", [") + tag + "] " + lack->second;
      }
    }
    if (!reason.empty()) skipped.push_back({.name = info.name, .reason = reason});
  }
  const std::size_t wanted = selected.size() - skipped.size();
  write_lacks(lacks);
  if (environment("CNI_TEST_PROBE_ONLY") == "1") return EXIT_SUCCESS;

  int status = EXIT_SUCCESS;
  if (wanted != 0) {
    if (!lacks.empty()) {
      data.testsOrTags = without(data.testsOrTags, lacks);
      session.useConfigData(Catch::ConfigData(data));
    }
    if (session.run() != 0) status = EXIT_FAILURE;
    if (case_counts().total() != wanted) {
      std::cout << "Of " << wanted << " selected cases Catch2 ran " << case_counts().total()
                << ".\n";
      status = EXIT_FAILURE;
    }
  } else if (skipped.empty()) {
    std::cout << "No test case matches the selection.\n";
    status = EXIT_FAILURE;
  }

  if (!skipped.empty()) {
    std::cout << "\nSKIPPED, because the kernel here cannot do it:\n";
    for (const Skipped& one : skipped) {
      std::cout << "  skipped: " << one.name << ": " << one.reason << '\n';
    }
  }
  for (const std::string& leak : leaks()) std::cout << "FAILED: left open by " << leak << '\n';
  if (!leaks().empty()) status = EXIT_FAILURE;
  auto failed = case_counts().failed + case_counts().failedButOk + leaks().size();
  auto left_out = skipped.size();
  if (environment("CNI_TEST_REQUIRE") == "all" && left_out != 0) {
    std::cout << "CNI_TEST_REQUIRE=all: a skipped case is a failure.\n";
    failed += left_out;
    left_out = 0;
    status = EXIT_FAILURE;
  } else if (wanted == 0 && left_out != 0) {
    status = kNothingRan;
  }
  const std::string_view path = argv[0];
  std::cout << path.substr(path.rfind('/') + 1) << ": " << case_counts().passed << " passed, "
            << failed << " failed, " << left_out << " skipped" << std::endl;
  return status;
}

}  // namespace cni::test
