// cnictl status: whether a network could serve an ADD.
#include <fmt/format.h>

#include "commands.h"
#include "output.h"

namespace cni::cnictl {
namespace {

int run_status(const Options& options) {
  const NetList list = network_of(options);
  Runtime runtime = runtime_of(options);
  const bool asked = runtime.status(list) == Done::kYes;
  if (options.json) {
    json::Value document = json::Value::object();
    document["networkName"] = list.name;
    document["outcome"] = asked ? "ok" : "not asked";
    document["plugins"] = steps_document(runtime.steps());
    print_json(document);
  } else if (asked) {
    print(fmt::format("network {} is ready: {}\n", list.name, steps_text(runtime.steps())));
  } else {
    print(fmt::format("network {} was not asked: its version is {}, STATUS came with 1.1.0\n",
                      list.name, text(list.version())));
  }
  return 0;
}

}  // namespace

Subcommand status_command() {
  return {.name = "status",
          .arguments = "NETWORK",
          .least_arguments = 1,
          .most_arguments = 1,
          .summary = "Asks the plugins of a network whether they could attach a container now.",
          .help =
              "The exit status is 0 if all of them say yes, or if the network speaks a CNI\n"
              "version before 1.1.0, which does not have the question.",
          .options = {"--conf-dir", "--cni-path"},
          .run = run_status};
}

}  // namespace cni::cnictl
