// What cnictl prints: short lines for people, one JSON document for programs.
#pragma once

#include <exception>
#include <string>
#include <string_view>
#include <vector>

#include "json/value.h"
#include "protocol/result.h"
#include "runtime.h"

namespace cni::cnictl {

// To stdout. Throws IoError.
void print(const std::string& text);
// To stderr, if it can be written.
void print_error(const std::string& text);
void print_json(const json::Value& document);

// Interfaces, addresses, routes and DNS, a line each, indented.
std::string result_lines(const Result& result);

// "bridge 12.3 ms, portmap 4.0 ms, in all 16.3 ms".
std::string steps_text(const std::vector<Step>& steps);
json::Value steps_document(const std::vector<Step>& steps);

// {"networkName": ..., "containerID": ..., "ifname": ..., "netns": ...}
json::Value target_document(const NetList& list, const Target& target);

// Whether what a failed ADD left behind was removed.
enum class Rollback {
  kNone,  // there was nothing to remove
  kDone,
  kFailed,
  kUnwanted,  // --no-rollback
  kAttached,  // the attachment was there before, and DEL would take it down
};

// Several lines: which plugin, verb, message, code and its meaning, details.
std::string failure_lines(const std::exception_ptr& failure);
std::string rollback_line(Rollback rollback);

// The CNI error object, with "verb" and "plugin" {"type", "position", "count"} if a plugin failed.
json::Value failure_document(const std::exception_ptr& failure);
std::string_view text(Rollback rollback);

}  // namespace cni::cnictl
