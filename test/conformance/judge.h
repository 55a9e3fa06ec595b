// Tries clauses on plugins, each in a process and a place of its own.
#pragma once

#include <string>
#include <vector>

#include "clause.h"
#include "spec.h"
#include "subject.h"

namespace conformance {

enum class Verdict { kPassed, kFailed, kNotApplicable };

struct Judgement {
  std::string clause, plugin;
  Verdict verdict;
  std::string reason;  // for the last two
};

// All clauses of this program by their ids, in the order of the table.
std::vector<Clause> all_clauses();

// What a plugin was asked once.
struct Knowledge {
  std::vector<std::string> versions;  // that it says it supports, oldest first
};
Knowledge ask_versions(const Subject& subject, const std::string& plugins);

// `versions` are those to try, of which those count that clause and plugin know; empty: all.
Judgement judge(const spec::Clause& row, const Subject& subject, const Knowledge& knowledge,
                const std::string& plugins, const std::vector<std::string>& versions);

}  // namespace conformance
