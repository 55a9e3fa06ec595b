// Calls another plugin with our own request (CNI spec 1.1.0, section 4).
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "protocol/environment.h"

namespace cni::delegation {

// Runs the plugin at `path` with `input` as its configuration and this process's environment, of
// which only CNI_COMMAND is set anew. Returns its stdout.
//
// A failure is thrown as the error that the plugin printed, with its code; else as Error 999 that
// names the plugin and its ending. A plugin that does not answer within 60 seconds (or
// CNI_DELEGATE_TIMEOUT seconds) is Error 11.
std::string call(const std::string& path, Command command, std::string_view input);

// The environment of this process with CNI_COMMAND set to `command`.
std::vector<std::string> delegate_environment(Command command);

}  // namespace cni::delegation
