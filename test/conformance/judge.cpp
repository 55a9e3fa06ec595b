#include "judge.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <csignal>
#include <iostream>

#include "fd.h"
#include "netns.h"

namespace conformance {
namespace {

constexpr std::chrono::seconds kLongest{300};

// Runs `function` in a child with a time limit and returns what it wrote, which is nothing if it
// did not come to its end. Whatever it started ends with it.
std::string in_child(const std::function<std::string()>& function) {
  std::array<int, 2> ends{};
  check(::pipe2(ends.data(), O_CLOEXEC), "make a pipe");
  const Fd read(ends[0]);
  Fd write(ends[1]);
  std::cout.flush();
  const pid_t pid = check(::fork(), "fork");
  if (pid == 0) {
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    const std::string text = function();
    const auto written = ::write(write.get(), text.data(), text.size());
    ::_exit(written == static_cast<ssize_t>(text.size()) ? 0 : 1);
  }
  write.close();
  std::string text;
  std::array<char, 65536> buffer{};
  const auto end = std::chrono::steady_clock::now() + kLongest;
  while (true) {
    const auto left =
        std::chrono::ceil<std::chrono::milliseconds>(end - std::chrono::steady_clock::now());
    pollfd polled{read.get(), POLLIN, 0};
    if (left.count() <= 0 || ::poll(&polled, 1, static_cast<int>(left.count())) == 0) {
      ::kill(pid, SIGKILL);
      break;
    }
    const ssize_t count = ::read(read.get(), buffer.data(), buffer.size());
    if (count <= 0) break;
    text.append(buffer.data(), static_cast<std::size_t>(count));
  }
  ::waitpid(pid, nullptr, 0);
  return text;
}

// "+", "-" or "?" and the reason.
std::string prove(const Clause& clause, const Subject& subject, const std::string& version,
                  const std::string& plugins) {
  try {
    Bench bench(subject, version, plugins);
    clause.prove(bench);
    return "+";
  } catch (const NotApplicable& reason) {
    return fmt::format("?{}", reason.what());
  } catch (const std::exception& failure) {
    return fmt::format("-{}", failure.what());
  }
}

const Clause* find_clause(const std::string& id) {
  static const std::vector<Clause> all = all_clauses();
  const auto found = std::ranges::find_if(all, [&](const Clause& one) { return one.id == id; });
  return found == all.end() ? nullptr : &*found;
}

std::vector<std::string> versions_to_try(const spec::Clause& row, const Clause& clause,
                                         const Knowledge& knowledge,
                                         const std::vector<std::string>& wanted) {
  std::vector<std::string> list;
  for (const std::string& version : knowledge.versions) {
    const bool asked = wanted.empty() || std::ranges::find(wanted, version) != wanted.end();
    if (asked && version >= row.since && version <= row.until) list.push_back(version);
  }
  if (wanted.empty() && !clause.each_version && list.size() > 1) list = {list.back()};
  return list;
}

std::string range_of(const spec::Clause& row) {
  return row.since == row.until ? row.since : fmt::format("{} to {}", row.since, row.until);
}

std::string on_one_line(std::string text) {
  std::string line;
  for (const char byte : text) {
    const bool blank = byte == '\n' || byte == ' ' || byte == '\t' || byte == '\r';
    if (!blank) line += byte;
    if (blank && !line.empty() && line.back() != ' ') line += ' ';
  }
  return line;
}

}  // namespace

std::vector<Clause> all_clauses() {
  std::vector<Clause> all;
  for (const auto group : {invocation_clauses(), version_clauses(), add_clauses(), del_clauses(),
                           check_clauses(), status_clauses(), gc_clauses(), chain_clauses(),
                           delegation_clauses(), ipam_clauses(), result_clauses(), error_clauses(),
                           concurrency_clauses(), configuration_clauses(), convention_clauses()}) {
    all.insert(all.end(), group.begin(), group.end());
  }
  return all;
}

Knowledge ask_versions(const Subject& subject, const std::string& plugins) {
  const std::string text = in_child([&]() -> std::string {
    try {
      Bench bench(subject, "1.0.0", plugins);
      const Outcome outcome = bench.call("VERSION", bench.attachment(), bench.config());
      return json::parse(outcome.out).at("supportedVersions").dump();
    } catch (const std::exception& failure) {
      std::cerr << failure.what() << '\n';
      return "[]";
    }
  });
  const auto said = json::parse(text).get<std::vector<std::string>>();
  Knowledge knowledge;
  for (const std::string& version : spec::kVersions) {
    if (std::ranges::find(said, version) != said.end()) {
      knowledge.versions.push_back(version);
    }
  }
  return knowledge;
}

Judgement judge(const spec::Clause& row, const Subject& subject, const Knowledge& knowledge,
                const std::string& plugins, const std::vector<std::string>& versions) {
  Judgement judgement{row.id, subject.name, Verdict::kNotApplicable, ""};
  const Clause* clause = find_clause(row.id);
  if (clause == nullptr) {
    judgement.reason = row.reason;
    return judgement;
  }
  if ((clause->kinds & subject.kind) == 0) {
    judgement.reason = fmt::format("not for a plugin that {}", text(subject.kind));
    return judgement;
  }
  judgement.reason = fmt::format("it does not speak {}", range_of(row));
  for (const std::string& version : versions_to_try(row, *clause, knowledge, versions)) {
    const std::string told = in_child([&] { return prove(*clause, subject, version, plugins); });
    const char sign = told.empty() ? '-' : told.front();
    const std::string reason =
        told.empty() ? "the check itself came to no end" : on_one_line(told.substr(1));
    if (sign == '-') {
      return {row.id, subject.name, Verdict::kFailed, fmt::format("{} ({})", reason, version)};
    }
    if (sign == '+') judgement.verdict = Verdict::kPassed;
    judgement.reason = judgement.verdict == Verdict::kPassed ? "" : reason;
  }
  return judgement;
}

}  // namespace conformance
