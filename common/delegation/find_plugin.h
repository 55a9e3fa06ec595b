// Where CNI_PATH says that plugins are.
#pragma once

#include <string>
#include <string_view>

namespace cni::delegation {

// The path of the executable for a plugin type: <element>/<type> for the first element of
// `cni_path` (separated by ':', empty elements are skipped) that holds a regular file of that name.
//
// Throws Error 4 if `cni_path` is empty, Error 7 if the type is no plain file name, is not found or
// is not executable. `key` is the configuration key that names the type, for messages.
std::string find_plugin(std::string_view type, std::string_view cni_path, std::string_view key);

}  // namespace cni::delegation
