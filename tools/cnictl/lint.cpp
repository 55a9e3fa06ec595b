// cnictl lint: what is wrong in configuration files.
#include <fmt/format.h>

#include <algorithm>
#include <exception>

#include "base/error.h"
#include "base/file.h"
#include "base/text.h"
#include "commands.h"
#include "lint_document.h"
#include "output.h"

namespace cni::cnictl {
namespace {

constexpr std::size_t kLongestFile = std::size_t{16} << 20U;  // bytes

struct FileReport {
  std::string file;
  std::vector<Finding> findings;
};

std::string_view text(Severity severity) {
  switch (severity) {
    case Severity::kError:
      return "error";
    case Severity::kWarning:
      return "warning";
    case Severity::kHint:
      return "hint";
  }
  return "";
}

FileReport lint_file(const std::string& file, const Options& options) {
  try {
    const std::string content = read_file(file, kLongestFile);
    return {.file = file,
            .findings = lint_document(content, {.file = file, .cni_path = options.cni_path})};
  } catch (const IoError& error) {
    Findings findings;
    findings.error("", error.what());
    return {.file = file, .findings = findings.all()};
  }
}

std::size_t count(const std::vector<FileReport>& reports, Severity severity) {
  std::size_t sum = 0;
  for (const FileReport& report : reports) {
    sum +=
        static_cast<std::size_t>(std::ranges::count(report.findings, severity, &Finding::severity));
  }
  return sum;
}

std::string counted(std::size_t number, std::string_view what) {
  return fmt::format("{} {}{}", number, what, number == 1 ? "" : "s");
}

std::string lines_of(const std::vector<FileReport>& reports) {
  std::string lines;
  for (const FileReport& report : reports) {
    for (const Finding& finding : report.findings) {
      lines += fmt::format("{}: {}: {}{}{}{}\n", report.file, text(finding.severity), finding.path,
                           finding.path.empty() ? "" : ": ", finding.sentence,
                           finding.suggestion.empty() ? "" : "; " + finding.suggestion);
    }
  }
  lines += fmt::format("{}: {}, {}, {}\n", counted(reports.size(), "file"),
                       counted(count(reports, Severity::kError), "error"),
                       counted(count(reports, Severity::kWarning), "warning"),
                       counted(count(reports, Severity::kHint), "hint"));
  return valid_utf8(lines);
}

json::Value document_of(const std::vector<FileReport>& reports) {
  json::Value list = json::Value::array();
  for (const FileReport& report : reports) {
    for (const Finding& finding : report.findings) {
      json::Value document = json::Value::object();
      document["file"] = report.file;
      document["path"] = finding.path;
      document["severity"] = text(finding.severity);
      document["sentence"] = finding.sentence;
      if (!finding.suggestion.empty()) document["suggestion"] = finding.suggestion;
      list.push_back(std::move(document));
    }
  }
  json::Value document = json::Value::object();
  document["errors"] = count(reports, Severity::kError);
  document["warnings"] = count(reports, Severity::kWarning);
  document["hints"] = count(reports, Severity::kHint);
  document["findings"] = std::move(list);
  return document;
}

int run_lint(const Options& options) {
  std::vector<FileReport> reports;
  for (const std::string& file : options.arguments) reports.push_back(lint_file(file, options));
  if (options.json) {
    print_json(document_of(reports));
  } else {
    print(lines_of(reports));
  }
  return count(reports, Severity::kError) == 0 ? 0 : 1;
}

}  // namespace

Subcommand lint_command() {
  return {
      .name = "lint",
      .arguments = "FILE...",
      .least_arguments = 1,
      .most_arguments = std::string::npos,
      .summary = "Says everything that is wrong in configuration files.",
      .help =
          "An error is what a runtime or a plugin refuses or cannot do, a warning what works and\n"
          "is probably not meant, a hint what is good to know. Whether the plugins are in "
          "CNI_PATH\n"
          "is asked if at least one of its directories is there. The exit status is 1 if there\n"
          "are errors.",
      .options = {"--cni-path"},
      .run = run_lint};
}

}  // namespace cni::cnictl
