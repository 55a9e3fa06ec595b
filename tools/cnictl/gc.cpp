// cnictl gc: removes what is left of attachments that are not in use any more.
#include <fmt/format.h>

#include <algorithm>

#include "base/log.h"
#include "commands.h"
#include "netns/netns.h"
#include "output.h"

namespace cni::cnictl {
namespace {

struct Plan {
  std::vector<Attachment> valid;
  std::vector<CachedAttachment> stale;
};

bool netns_exists(const std::string& path) {
  try {
    return netns::Netns::find(path).has_value();
  } catch (const netns::InvalidNetns&) {
    return false;  // a file that a namespace was mounted on
  }
}

// Whoever wrote no namespace into the cache may still have one.
bool may_be_alive(const CachedAttachment& cached) {
  if (!cached.netns.empty()) return netns_exists(cached.netns);
  log::warning("no namespace is recorded for {}/{}, taken as in use",
               cached.attachment.container_id, cached.attachment.ifname);
  return true;
}

Plan make_plan(const std::vector<CachedAttachment>& cached, const Options& options) {
  Plan plan;
  if (options.valid_given) plan.valid = options.valid;
  for (const CachedAttachment& one : cached) {
    const bool valid = options.valid_given
                           ? std::ranges::find(plan.valid, one.attachment) != plan.valid.end()
                           : may_be_alive(one);
    if (!valid) plan.stale.push_back(one);
    if (valid && !options.valid_given) plan.valid.push_back(one.attachment);
  }
  return plan;
}

json::Value names(const std::vector<Attachment>& attachments) {
  json::Value list = json::Value::array();
  for (const Attachment& attachment : attachments) {
    json::Value element = json::Value::object();
    element["containerID"] = attachment.container_id;
    element["ifname"] = attachment.ifname;
    list.push_back(std::move(element));
  }
  return list;
}

std::vector<Attachment> attachments_of(const std::vector<CachedAttachment>& cached) {
  std::vector<Attachment> attachments;
  for (const CachedAttachment& one : cached) attachments.push_back(one.attachment);
  return attachments;
}

std::string lines(std::string_view what, const std::vector<Attachment>& attachments) {
  std::string text;
  for (const Attachment& attachment : attachments) {
    text += fmt::format("  {:<9}  {}/{}\n", what, attachment.container_id, attachment.ifname);
  }
  return text;
}

std::string sentence(const NetList& list, const Options& options, Done done,
                     const Runtime& runtime) {
  if (list.disable_gc) return fmt::format("nothing to do: {} says disableGC", list.file);
  const bool in_version = list.version() >= Version::k1_1_0;
  const std::string plugins =
      in_version ? "" : fmt::format(" (version {}: the plugins do not know GC)", list.version_text);
  if (options.dry_run) return fmt::format("network {} would be collected{}", list.name, plugins);
  return fmt::format("network {} is collected{}: {}", list.name,
                     done == Done::kNotInVersion ? plugins : "", steps_text(runtime.steps()));
}

int run_gc(const Options& options) {
  const NetList list = network_of(options);
  Runtime runtime = runtime_of(options);
  const Plan plan = make_plan(runtime.cache().list(list.name), options);
  Done done = Done::kYes;
  if (!options.dry_run) done = runtime.gc(list, plan.stale, plan.valid);

  const std::vector<Attachment> gone =
      list.disable_gc ? std::vector<Attachment>() : attachments_of(plan.stale);
  if (options.json) {
    json::Value document = json::Value::object();
    document["networkName"] = list.name;
    document["outcome"] = list.disable_gc ? "disabled" : options.dry_run ? "dry run" : "ok";
    document["deleted"] = names(gone);
    document["valid"] = names(plan.valid);
    document["plugins"] = steps_document(runtime.steps());
    print_json(document);
  } else {
    print(fmt::format("{}\n{}{}", sentence(list, options, done, runtime),
                      lines(options.dry_run ? "would go" : "deleted", gone),
                      lines("in use", plan.valid)));
  }
  return 0;
}

}  // namespace

Subcommand gc_command() {
  return {
      .name = "gc",
      .arguments = "NETWORK",
      .least_arguments = 1,
      .most_arguments = 1,
      .summary = "Removes what is left of attachments that are not in use any more.",
      .help =
          "In use is every attachment in the cache whose network namespace still exists, or, if\n"
          "there is a --valid, exactly those listed. Every other attachment in the cache gets a\n"
          "DEL; then, from CNI version 1.1.0 on, the plugins get the list of those in use and\n"
          "remove everything else of this network, so do not use it beside another runtime that\n"
          "keeps its results elsewhere.",
      .options = {"--conf-dir", "--cni-path", "--cache-dir", "--valid", "--dry-run"},
      .run = run_gc};
}

}  // namespace cni::cnictl
