// Calls another plugin with our own request (CNI spec 1.1.0, section 4).
#pragma once

#include <chrono>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "protocol/environment.h"
#include "protocol/result.h"
#include "protocol/version.h"

namespace cni::delegation {

// Environment variables by name.
using Variables = std::map<std::string, std::string>;

// How long a plugin may take: 60 seconds, or CNI_DELEGATE_TIMEOUT.
std::chrono::milliseconds time_limit();

// Runs the plugin at `path` with `input` as its configuration and this process's environment, in
// which `variables` are set anew. Returns its stdout.
//
// A failure is thrown as the error that the plugin printed, with its code; else as Error 999 that
// names the plugin and its ending. A plugin that does not answer within `time` is Error 11.
std::string call(const std::string& path, const Variables& variables, std::string_view input,
                 std::chrono::milliseconds time = time_limit());

// The same with only CNI_COMMAND set anew.
std::string call(const std::string& path, Command command, std::string_view input,
                 std::chrono::milliseconds time = time_limit());

// What an ADD printed. It may be in any version we know; one that names no version is in `version`.
// Throws Error 999, whose details name the `plugin` if it is given.
Result parse_answer(const std::string& answer, Version version, std::string_view plugin = "");

// The environment of this process with `variables` set anew.
std::vector<std::string> environment_with(const Variables& variables);

}  // namespace cni::delegation
