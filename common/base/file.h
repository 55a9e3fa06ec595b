// Files read and written whole.
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

#include "base/unique_fd.h"

namespace cni {

// Reads `fd` to its end. Throws IoError, also (EFBIG) if there are more than `limit` bytes.
// `name` stands for the source in messages.
std::string read_all(int fd, std::size_t limit, const std::string& name);

// Writes everything, across short writes and interruptions. Throws IoError.
void write_all(int fd, std::string_view data, const std::string& name);

// The content of a regular file of at most `limit` bytes; any other kind of file is an IoError.
std::string read_file(const std::string& path, std::size_t limit);

// The same, or nothing if no file is there.
std::optional<std::string> find_file(const std::string& path, std::size_t limit);

// Whether `name` names one thing in whatever folder it is looked for: no path, not the folder or
// its parent.
bool is_plain_name(std::string_view name);

// Makes a directory and its parents. An existing one is fine. Throws IoError.
void ensure_directory(const std::string& path, mode_t mode);

// Returns whether it was there.
bool delete_file_if_exists(const std::string& path);

}  // namespace cni
