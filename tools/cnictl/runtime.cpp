#include "runtime.h"

#include <fmt/format.h>

#include "base/best_effort.h"
#include "base/log.h"
#include "base/text.h"
#include "delegation/delegate.h"
#include "delegation/find_plugin.h"
#include "json/reader.h"
#include "protocol/result_versions.h"

namespace cni::cnictl {
namespace {

std::string args_text(const Target& target) {
  std::string text;
  for (const auto& [key, value] : target.args) {
    text += fmt::format("{}{}={}", text.empty() ? "" : ";", key, value);
  }
  return text;
}

// All six, also if they are empty: none is inherited from whoever called us.
delegation::Variables variables(Command verb, const Target& target, const std::string& cni_path) {
  return {
      {"CNI_COMMAND", std::string(text(verb))},
      {"CNI_CONTAINERID", target.attachment.container_id},
      {"CNI_NETNS", target.netns},
      {"CNI_ARGS", args_text(target)},
      {"CNI_IFNAME", target.attachment.ifname},
      {"CNI_PATH", cni_path},
  };
}

// Before the first plugin is called, by the rules that every plugin has.
void check_target(const Target& target, Command verb) {
  read_environment(
      [&](const std::string& name) {
        const auto values = variables(verb, target, "");
        const auto value = values.find(name);
        return value == values.end() ? "" : value->second;
      },
      /*makes_interface=*/false);
}

}  // namespace

std::string Runtime::call(Command verb, const NetList& list, std::size_t index,
                          const Target& target, const Additions& additions) {
  const PluginConf& plugin = list.plugins[index];
  try {
    const std::string path = delegation::find_plugin(plugin.type, cni_path_, "type");
    const std::string request = plugin_request(list, plugin, additions);
    called_ = true;
    const auto start = std::chrono::steady_clock::now();
    std::string answer = delegation::call(path, variables(verb, target, cni_path_), request);
    const auto took = std::chrono::steady_clock::now() - start;
    steps_.push_back(
        {.type = plugin.type, .took = std::chrono::duration_cast<std::chrono::microseconds>(took)});
    return answer;
  } catch (...) {
    throw PluginFailure(to_error(std::current_exception()), verb, index + 1, list.plugins.size(),
                        plugin.type);
  }
}

// A cached result that cannot be used is as good as none.
std::optional<json::Value> Runtime::find_prev_result(const NetList& list,
                                                     const Attachment& attachment) {
  const std::optional<CachedAttachment> cached = cache_.find(list.name, attachment);
  if (!cached || !cached->result.is_object()) return std::nullopt;
  try {
    const Result result = delegation::parse_answer(json::compact(cached->result), list.version());
    return render_result(result, list.version());
  } catch (const Error& error) {
    log::warning("cannot use the cached result of {}/{}: {}, ignoring", attachment.container_id,
                 attachment.ifname, error.what());
    return std::nullopt;
  }
}

Result Runtime::add(const NetList& list, const Target& target) {
  const Version version = list.version();
  check_target(target, Command::kAdd);
  Additions additions{.capability_args = target.capability_args};
  Result result;
  for (std::size_t index = 0; index < list.plugins.size(); ++index) {
    const std::string answer = call(Command::kAdd, list, index, target, additions);
    try {
      // Read and written anew: what is no part of a result does not reach the next plugin.
      result = delegation::parse_answer(answer, version);
      additions.prev_result = render_result(result, version);
    } catch (const Error& error) {
      throw PluginFailure(error, Command::kAdd, index + 1, list.plugins.size(),
                          list.plugins[index].type);
    }
  }
  cache_.store({.network = list.name,
                .attachment = target.attachment,
                .netns = target.netns,
                .config = list.text,
                .args = target.args,
                .capability_args = target.capability_args,
                .result = *additions.prev_result});
  return result;
}

Done Runtime::check(const NetList& list, const Target& target) {
  if (list.version() < Version::k0_4_0) {
    throw Error(Code::kIncompatibleVersion, "config version does not allow CHECK",
                fmt::format("{}: cniVersion is {}, CHECK came with 0.4.0", list.file,
                            text(list.version())));
  }
  if (list.disable_check) return Done::kDisabled;
  check_target(target, Command::kCheck);
  const Additions additions{.prev_result = find_prev_result(list, target.attachment),
                            .capability_args = target.capability_args};
  for (std::size_t index = 0; index < list.plugins.size(); ++index) {
    call(Command::kCheck, list, index, target, additions);
  }
  return Done::kYes;
}

void Runtime::del(const NetList& list, const Target& target) {
  const Version version = list.version();
  check_target(target, Command::kDel);
  Additions additions{.capability_args = target.capability_args};
  if (version >= Version::k0_4_0) {
    additions.prev_result = find_prev_result(list, target.attachment);
  }
  for (std::size_t index = list.plugins.size(); index-- > 0;) {
    call(Command::kDel, list, index, target, additions);
  }
  cache_.delete_if_exists(list.name, target.attachment);
}

Done Runtime::status(const NetList& list) {
  if (list.version() < Version::k1_1_0) return Done::kNotInVersion;
  for (std::size_t index = 0; index < list.plugins.size(); ++index) {
    call(Command::kStatus, list, index, {}, {});
  }
  return Done::kYes;
}

Done Runtime::gc(const NetList& list, const std::vector<CachedAttachment>& stale,
                 const std::vector<Attachment>& valid) {
  if (list.disable_gc) return Done::kDisabled;
  const Version version = list.version();
  BestEffort all;
  for (const CachedAttachment& cached : stale) {
    all.run(fmt::format("delete {}/{}", cached.attachment.container_id, cached.attachment.ifname),
            [&] {
              del(list, {.attachment = cached.attachment,
                         .netns = cached.netns,
                         .args = cached.args,
                         .capability_args = cached.capability_args});
            });
  }
  if (version >= Version::k1_1_0) {
    for (std::size_t index = 0; index < list.plugins.size(); ++index) {
      all.run(fmt::format("collect garbage with plugin {}", list.plugins[index].type),
              [&] { call(Command::kGc, list, index, {}, {.valid_attachments = valid}); });
    }
  }
  all.finish();
  return version >= Version::k1_1_0 ? Done::kYes : Done::kNotInVersion;
}

}  // namespace cni::cnictl
