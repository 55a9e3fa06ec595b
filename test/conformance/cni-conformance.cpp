// Tries the clauses of the specification on the plugins of a folder, as runtimes call them.
//
// It is a black box's judge: it knows nothing of any plugin's code, ours included. Where it is told
// to be an IPAM plugin, by its name, it is one (recorder.h).
#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <iostream>

#include "judge.h"
#include "options.h"
#include "recorder.h"

namespace conformance {
namespace {

namespace fs = std::filesystem;

std::vector<Subject> chosen_subjects(const Options& options) {
  std::vector<Subject> chosen;
  for (const Subject& subject : known_subjects()) {
    const bool wanted =
        options.only.empty() || std::ranges::find(options.only, subject.name) != options.only.end();
    if (wanted && fs::exists(fs::path(options.plugins) / subject.name)) chosen.push_back(subject);
  }
  for (const std::string& name : options.only) {
    const auto has_name = [&](const Subject& subject) { return subject.name == name; };
    if (std::ranges::none_of(chosen, has_name)) {
      throw std::runtime_error(fmt::format(
          "{} is not in {}, or nothing is known of its configuration", name, options.plugins));
    }
  }
  if (chosen.empty()) throw std::runtime_error("no known plugin in " + options.plugins);
  return chosen;
}

bool is_chosen(const Options& options, const std::string& id) {
  return options.clauses.empty() || std::ranges::any_of(options.clauses, [&](const auto& prefix) {
           return id == prefix || id.starts_with(prefix + "-");
         });
}

const char* word(Verdict verdict) {
  switch (verdict) {
    case Verdict::kPassed:
      return "passed";
    case Verdict::kFailed:
      return "failed";
    default:
      return "not applicable";
  }
}

std::size_t count(const std::vector<Judgement>& all, Verdict verdict) {
  return static_cast<std::size_t>(std::ranges::count(all, verdict, &Judgement::verdict));
}

void print_line(const Judgement& one) {
  std::cout << fmt::format("{:<7} {:<16} {}{}{}\n", one.clause, one.plugin, word(one.verdict),
                           one.reason.empty() ? "" : ": ", one.reason);
  std::cout.flush();
}

void print_json(const std::vector<Judgement>& all) {
  json list = json::array();
  for (const Judgement& one : all) {
    list.push_back({{"clause", one.clause},
                    {"plugin", one.plugin},
                    {"verdict", word(one.verdict)},
                    {"reason", one.reason}});
  }
  std::cout << json{{"judgements", list},
                    {"passed", count(all, Verdict::kPassed)},
                    {"failed", count(all, Verdict::kFailed)},
                    {"notApplicable", count(all, Verdict::kNotApplicable)}}
                   .dump(2)
            << '\n';
}

int try_all(const Options& options) {
  std::vector<Judgement> all;
  for (const Subject& subject : chosen_subjects(options)) {
    const Knowledge knowledge = ask_versions(subject, options.plugins);
    if (knowledge.versions.empty()) {
      throw std::runtime_error(subject.name + " does not say which versions it supports");
    }
    for (const spec::Clause& row : spec::clauses()) {
      if (!is_chosen(options, row.id)) continue;
      all.push_back(judge(row, subject, knowledge, options.plugins, options.versions));
      if (!options.json) print_line(all.back());
    }
  }
  if (options.json) {
    print_json(all);
  } else {
    std::cout << fmt::format("conformance: {} passed, {} failed, {} not applicable\n",
                             count(all, Verdict::kPassed), count(all, Verdict::kFailed),
                             count(all, Verdict::kNotApplicable));
  }
  return count(all, Verdict::kFailed) == 0 ? 0 : 1;
}

int run_tool(const Options& options) {
  if (options.help) {
    std::cout << kUsage;
    return 0;
  }
  if (options.list) {
    for (const Clause& clause : all_clauses()) std::cout << clause.id << '\n';
    return 0;
  }
  return try_all(options);
}

}  // namespace
}  // namespace conformance

int main(int count, char** words) {
  try {
    std::error_code none;  // where there is no /proc
    const std::string program = std::filesystem::read_symlink("/proc/self/exe", none);
    if (std::filesystem::path(program).filename() == conformance::kRecorderName) {
      return conformance::play_recorder(program);
    }
    return conformance::run_tool(conformance::parse_options({words + 1, words + count}));
  } catch (const std::exception& failure) {
    std::cerr << "cni-conformance: " << failure.what() << "\n";
    return 2;
  }
}
