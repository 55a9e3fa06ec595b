// cnictl: the runtime side of CNI on a command line. Attaches network namespaces to networks as
// container runtimes do, and looks after plugins and configurations.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <csignal>
#include <cstdlib>

#include "base/interruption.h"
#include "base/log.h"
#include "base/text.h"
#include "commands.h"
#include "output.h"

namespace cni::cnictl {
namespace {

constexpr int kUsageStatus = 2;

std::vector<Subcommand> commands() {
  return {add_command(), check_command(),   del_command(), status_command(),
          gc_command(),  version_command(), lint_command()};
}

std::string overview() {
  std::string text =
      "usage: cnictl COMMAND [argument...] [option...]\n\n"
      "The runtime side of CNI: attaches network namespaces to networks.\n\nCommands:\n";
  for (const Subcommand& command : commands()) {
    text += fmt::format("  {:<22}  {}\n", fmt::format("{} {}", command.name, command.arguments),
                        command.summary);
  }
  return text +
         "\n`cnictl COMMAND --help` tells more; `cnictl --version` tells the version of cnictl.\n"
         "Exit status: 0 done, 1 failed or errors found, 2 wrong usage.\n";
}

std::string get_variable(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? "" : value;
}

int run_command(const Subcommand& command, std::span<const std::string> words) {
  const Options options = parse_options(command, words, get_variable);
  if (options.help) {
    print(command_help(command));
    return EXIT_SUCCESS;
  }
  try {
    return command.run(options);
  } catch (const UsageError&) {
    throw;
  } catch (...) {
    if (options.json) {
      print_json(failure_document(std::current_exception()));
    } else {
      print_error(failure_lines(std::current_exception()));
    }
    return EXIT_FAILURE;
  }
}

int run(const std::vector<std::string>& words) {
  if (words.empty()) throw UsageError("a command is missing");
  const std::string& first = words.front();
  if (first == "--help" || first == "-h" || first == "help") {
    print(overview());
    return EXIT_SUCCESS;
  }
  if (first == "--version") {
    print(fmt::format("cnictl {}\n", CNI_BUILD_VERSION));
    return EXIT_SUCCESS;
  }
  for (const Subcommand& command : commands()) {
    if (command.name == first) return run_command(command, std::span(words).subspan(1));
  }
  throw UsageError(fmt::format("unknown command {}", in_quotes(first)));
}

}  // namespace
}  // namespace cni::cnictl

int main(int argc, char** argv) {
  cni::log::set_program("cnictl");
  // A reader that went away is an error of write(2), not the end of the process.
  std::signal(SIGPIPE, SIG_IGN);
  try {
    // Plugins are asked to stop, and what they did goes too.
    cni::interruption::listen();
    return cni::cnictl::run(std::vector<std::string>(argv + 1, argv + argc));
  } catch (const cni::cnictl::UsageError& error) {
    cni::cnictl::print_error(
        fmt::format("cnictl: {}\n`cnictl --help` tells how it is used.\n", error.what()));
    return cni::cnictl::kUsageStatus;
  } catch (const std::exception& error) {
    cni::cnictl::print_error(fmt::format("cnictl: {}\n", error.what()));
    return EXIT_FAILURE;
  }
}
