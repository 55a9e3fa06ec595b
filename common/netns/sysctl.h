// Network sysctls of the namespace this thread is in (netns::Scope).
//
// A name is the path below /proc/sys, for example "net/ipv4/ip_forward". Files are opened only if
// they lie on procfs, and no link below /proc/sys is followed.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace cni::netns {

// The value without its newline; nothing if there is no such sysctl (ENOENT).
std::optional<std::string> find_sysctl(const std::string& name);

// Throws SystemError `set sysctl net/...=<value>: <errno>`.
void set_sysctl(const std::string& name, std::string_view value);

// Writes only if the value is another one. Returns whether it wrote.
bool ensure_sysctl(const std::string& name, std::string_view value);

// Writes the value; a failure is logged as ignored.
void try_set_sysctl(const std::string& name, std::string_view value);

}  // namespace cni::netns
