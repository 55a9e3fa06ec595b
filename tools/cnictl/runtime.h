// Runs the plugins of a list as libcni does: in which order, with which request, environment and
// previous result, and what is kept of the results.
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "cache.h"
#include "json/value.h"
#include "net_list.h"
#include "plugin_request.h"
#include "protocol/environment.h"
#include "protocol/error.h"
#include "protocol/net_conf.h"
#include "protocol/result.h"

namespace cni::cnictl {

// One plugin of a list failed, with the error it gave.
class PluginFailure : public Error {
 public:
  PluginFailure(const Error& error, Command verb, std::size_t position, std::size_t count,
                std::string type)
      : Error(error.code(), error.what(), error.details()),
        verb_(verb),
        position_(position),
        count_(count),
        type_(std::move(type)) {}

  Command verb() const { return verb_; }
  // From 1 to count(), the number of plugins in the list.
  std::size_t position() const { return position_; }
  std::size_t count() const { return count_; }
  const std::string& type() const { return type_; }

 private:
  Command verb_;
  std::size_t position_;
  std::size_t count_;
  std::string type_;
};

// Whom a list is applied to, and with which data.
struct Target {
  Attachment attachment = {};
  std::string netns = {};                                      // a path
  std::vector<std::pair<std::string, std::string>> args = {};  // CNI_ARGS
  json::Value capability_args = json::Value::object();
};

// A call that was made.
struct Step {
  std::string type;
  std::chrono::microseconds took;
};

enum class Done {
  kYes,
  kDisabled,      // the list says disableCheck or disableGC
  kNotInVersion,  // the list's version does not have the verb
};

class Runtime {
 public:
  Runtime(std::string cni_path, Cache cache)
      : cni_path_(std::move(cni_path)), cache_(std::move(cache)) {}

  // The plugins in order, each with the result of the one before it; the last result is cached.
  // Throws PluginFailure for the first that fails; nothing is undone.
  Result add(const NetList& list, const Target& target);

  // The plugins in order, each with the cached result. Throws Error 1 below version 0.4.0,
  // PluginFailure for the first that fails.
  Done check(const NetList& list, const Target& target);

  // The plugins from the last to the first, each with the cached result if there is one (0.4.0 and
  // newer), which is deleted after success. Throws PluginFailure for the first that fails.
  void del(const NetList& list, const Target& target);

  // The plugins in order. Throws PluginFailure for the first that fails. Below version 1.1.0 nobody
  // is asked.
  Done status(const NetList& list);

  // DEL for every attachment in `stale`, then, from version 1.1.0, GC with `valid` for every plugin
  // in order. Everything is tried; throws PluginFailure, or SeveralFailures.
  Done gc(const NetList& list, const std::vector<CachedAttachment>& stale,
          const std::vector<Attachment>& valid);

  const Cache& cache() const { return cache_; }
  // Whether a plugin was found and started.
  bool called() const { return called_; }
  // The calls that succeeded.
  const std::vector<Step>& steps() const { return steps_; }

 private:
  std::string call(Command verb, const NetList& list, std::size_t index, const Target& target,
                   const Additions& additions);
  std::optional<json::Value> find_prev_result(const NetList& list, const Attachment& attachment);

  std::string cni_path_;
  Cache cache_;
  bool called_ = false;
  std::vector<Step> steps_;
};

}  // namespace cni::cnictl
