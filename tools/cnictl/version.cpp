// cnictl version: what is in CNI_PATH.
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <set>

#include "base/text.h"
#include "commands.h"
#include "delegation/delegate.h"
#include "exec/child.h"
#include "json/parse.h"
#include "json/reader.h"
#include "output.h"

namespace cni::cnictl {
namespace {

namespace fs = std::filesystem;

constexpr exec::Limits kLimits{.time = std::chrono::seconds(5), .output = 65536};

struct Program {
  std::string name;
  std::string path;
  std::string about;                  // its own version, or ""
  std::vector<std::string> versions;  // none: not a plugin
  std::string problem;                // why not
};

// Executables by the name under which a plugin is found: the first directory that has it counts.
std::vector<Program> find_programs(const std::string& cni_path) {
  std::vector<Program> programs;
  std::set<std::string> seen;
  for (const std::string& directory : split(cni_path, ':')) {
    std::set<std::string> names;
    std::error_code error;
    for (fs::directory_iterator entry(directory, error), end; !error && entry != end;
         entry.increment(error)) {
      std::error_code ignored;
      const bool wanted = entry->is_regular_file(ignored) &&
                          ::access(entry->path().c_str(), X_OK) == 0 &&
                          !entry->path().filename().string().starts_with('.');
      if (wanted) names.insert(entry->path().filename().string());
    }
    for (const std::string& name : names) {
      if (!seen.insert(name).second) continue;
      programs.push_back({.name = name,
                          .path = fmt::format("{}/{}", directory, name),
                          .about = {},
                          .versions = {},
                          .problem = {}});
    }
  }
  return programs;
}

exec::Outcome ask(const std::string& path, const delegation::Variables& variables,
                  std::string_view input) {
  return exec::run_child(path, delegation::environment_with(variables), input, kLimits,
                         exec::Stderr::kKept);
}

// CNI spec, section "VERSION". An answer without the list is one of a plugin for 0.1.0 and 0.2.0.
std::vector<std::string> parse_versions(const std::string& answer) {
  const json::Value document = json::parse(answer);
  const json::Reader reader(document);
  if (!reader["cniVersion"].find_string()) reader["cniVersion"].refuse("no answer of a plugin");
  if (!reader["supportedVersions"].present()) return {"0.1.0", "0.2.0"};
  return reader["supportedVersions"].strings();
}

// A plugin without a command prints "CNI NAME plugin VERSION" as its first line on stderr. NAME is
// not always that of the file.
std::string parse_about(const std::string& text) {
  const std::string line(trim(split(text, '\n').front()));
  constexpr std::string_view kBefore = " plugin ";
  const std::size_t at = line.find(kBefore);
  return line.starts_with("CNI ") && at != std::string::npos ? line.substr(at + kBefore.size())
                                                             : line;
}

void look_at(Program& program) {
  // The variables that the reference runtime library sets for this verb.
  const delegation::Variables dummies = {{"CNI_COMMAND", "VERSION"}, {"CNI_CONTAINERID", ""},
                                         {"CNI_NETNS", "dummy"},     {"CNI_ARGS", ""},
                                         {"CNI_IFNAME", "dummy"},    {"CNI_PATH", "dummy"}};
  try {
    const exec::Outcome answer = ask(program.path, dummies, R"({"cniVersion":"1.1.0"})");
    if (answer.ending != exec::Ending::kExited || answer.number != 0) {
      program.problem = exec::describe(answer);
      return;
    }
    program.versions = parse_versions(answer.out);
    const exec::Outcome about = ask(program.path, {{"CNI_COMMAND", ""}}, "");
    program.about = valid_utf8(parse_about(about.err));
  } catch (const json::SyntaxError&) {
    program.problem = "its answer to VERSION is no JSON";
  } catch (const json::ValueError& error) {
    program.problem = error.what();
  } catch (const std::exception& error) {
    program.problem = error.what();
  }
}

json::Value document_of(const std::vector<Program>& programs) {
  json::Value list = json::Value::array();
  for (const Program& program : programs) {
    json::Value document = json::Value::object();
    document["name"] = program.name;
    document["path"] = program.path;
    document["plugin"] = program.problem.empty();
    if (program.problem.empty()) {
      document["version"] = program.about;
      document["supportedVersions"] = program.versions;
    } else {
      document["problem"] = program.problem;
    }
    list.push_back(std::move(document));
  }
  json::Value document = json::Value::object();
  document["version"] = CNI_BUILD_VERSION;
  document["programs"] = std::move(list);
  return document;
}

std::string lines_of(const std::vector<Program>& programs) {
  std::size_t width = 0;
  for (const Program& program : programs) width = std::max(width, program.path.size());
  std::string lines = fmt::format("cnictl {}\n", CNI_BUILD_VERSION);
  for (const Program& program : programs) {
    lines +=
        fmt::format("{:<{}}  {}\n", program.path, width,
                    program.problem.empty()
                        ? fmt::format("{}, CNI {}", program.about, fmt::join(program.versions, " "))
                        : fmt::format("not a CNI plugin ({})", program.problem));
  }
  return lines;
}

int run_version(const Options& options) {
  std::vector<Program> programs = find_programs(options.cni_path);
  for (Program& program : programs) look_at(program);
  if (options.json) {
    print_json(document_of(programs));
  } else {
    print(lines_of(programs));
    if (programs.empty()) print(fmt::format("there are no programs in {}\n", options.cni_path));
  }
  return 0;
}

}  // namespace

Subcommand version_command() {
  return {.name = "version",
          .arguments = "",
          .least_arguments = 0,
          .most_arguments = 0,
          .summary = "Lists the plugins in CNI_PATH and the CNI versions they speak.",
          .help =
              "Every executable file is started twice, for at most 5 seconds each: with the verb\n"
              "VERSION, and, if it answers as a plugin, without a verb for its own version.",
          .options = {"--cni-path"},
          .run = run_version};
}

}  // namespace cni::cnictl
