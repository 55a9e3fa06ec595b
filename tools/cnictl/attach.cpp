// cnictl add, check and del: one attachment of a container to a network.
#include <fmt/format.h>

#include <cstdlib>
#include <exception>

#include "base/interruption.h"
#include "commands.h"
#include "output.h"
#include "protocol/result_versions.h"

namespace cni::cnictl {
namespace {

constexpr std::string_view kTargetHelp =
    "NETWORK is the name of a network in the configuration directory. NETNS is the path of a\n"
    "network namespace, or a name below /run/netns. CAP_ARGS (JSON, data by capability) and\n"
    "CNI_ARGS (K=V;K=V) of the environment reach the plugins as a runtime's would; `check` and\n"
    "`del` take from the cache what `add` got, unless they are set. A plugin has\n"
    "CNI_DELEGATE_TIMEOUT seconds (60) to answer.";

std::string name_of(const NetList& list, const Target& target) {
  return fmt::format("{} of {} ({}) in network {}", target.attachment.ifname,
                     target.attachment.container_id, target.netns, list.name);
}

// After a failed ADD the runtime has to call DEL for the whole list (CNI spec, section 2). Not if
// there was an attachment before: that is a second ADD, and DEL would take the first one down.
Rollback roll_back(const NetList& list, const Target& target, Runtime& runtime,
                   const Options& options, bool attached) {
  if (!runtime.called()) return Rollback::kNone;
  if (!options.rollback) return Rollback::kUnwanted;
  if (attached) return Rollback::kAttached;
  const interruption::Shield shield;
  try {
    runtime.del(list, target);
    return Rollback::kDone;
  } catch (...) {
    print_error(failure_lines(std::current_exception()));
    return Rollback::kFailed;
  }
}

void print_result(const NetList& list, const Target& target, const Result& result,
                  const Runtime& runtime, const Options& options) {
  if (options.json) {
    print_json(render_result(result, list.version()));
  } else {
    print(fmt::format("added {}, CNI {}\n{}  took       {}\n", name_of(list, target),
                      text(list.version()), result_lines(result), steps_text(runtime.steps())));
  }
}

int run_add(const Options& options) {
  const Target target = target_of(options);
  const NetList list = network_of(options);
  Runtime runtime = runtime_of(options);
  const bool attached = runtime.cache().find(list.name, target.attachment).has_value();
  try {
    print_result(list, target, runtime.add(list, target), runtime, options);
    return EXIT_SUCCESS;
  } catch (...) {
    const std::exception_ptr failure = std::current_exception();
    const Rollback rollback = roll_back(list, target, runtime, options, attached);
    if (options.json) {
      json::Value document = failure_document(failure);
      document["rollback"] = text(rollback);
      print_json(document);
    } else {
      print_error(failure_lines(failure) + rollback_line(rollback));
    }
    return EXIT_FAILURE;
  }
}

void report(const NetList& list, const Target& target, const Runtime& runtime,
            const Options& options, std::string_view outcome, const std::string& sentence) {
  if (!options.json) {
    print(sentence + "\n");
    return;
  }
  json::Value document = target_document(list, target);
  document["outcome"] = outcome;
  document["plugins"] = steps_document(runtime.steps());
  print_json(document);
}

int run_check(const Options& options) {
  const NetList list = network_of(options);
  Runtime runtime = runtime_of(options);
  const Target target = cached_target_of(options, list, runtime.cache());
  const bool checked = runtime.check(list, target) == Done::kYes;
  report(list, target, runtime, options, checked ? "ok" : "disabled",
         checked ? fmt::format("{} is as it should be: {}", name_of(list, target),
                               steps_text(runtime.steps()))
                 : fmt::format("not checked: {} says disableCheck", list.file));
  return EXIT_SUCCESS;
}

int run_del(const Options& options) {
  const NetList list = network_of(options);
  Runtime runtime = runtime_of(options);
  const Target target = cached_target_of(options, list, runtime.cache());
  runtime.del(list, target);
  report(list, target, runtime, options, "ok",
         fmt::format("deleted {}: {}", name_of(list, target), steps_text(runtime.steps())));
  return EXIT_SUCCESS;
}

std::vector<std::string_view> target_options() {
  return {"--conf-dir", "--cni-path", "--cache-dir", "--ifname", "--container-id"};
}

}  // namespace

Subcommand add_command() {
  std::vector<std::string_view> options = target_options();
  options.emplace_back("--no-rollback");
  return {.name = "add",
          .arguments = "NETWORK NETNS",
          .least_arguments = 2,
          .most_arguments = 2,
          .summary = "Attaches a network namespace to a network.",
          .help = kTargetHelp,
          .options = std::move(options),
          .run = run_add};
}

Subcommand check_command() {
  return {.name = "check",
          .arguments = "NETWORK NETNS",
          .least_arguments = 2,
          .most_arguments = 2,
          .summary = "Asks the plugins whether an attachment still is as `add` left it.",
          .help = kTargetHelp,
          .options = target_options(),
          .run = run_check};
}

Subcommand del_command() {
  return {.name = "del",
          .arguments = "NETWORK NETNS",
          .least_arguments = 2,
          .most_arguments = 2,
          .summary = "Detaches a network namespace from a network; it may be gone already.",
          .help = kTargetHelp,
          .options = target_options(),
          .run = run_del};
}

}  // namespace cni::cnictl
