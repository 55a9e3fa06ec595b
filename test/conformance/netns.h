// Network namespaces and the private place a clause works in.
#pragma once

#include <functional>
#include <string>

#include "fd.h"

namespace conformance {

// Moves the calling process, which must have one thread, into mount and network namespaces of its
// own (and a user namespace, if it is not root): tmpfs on /run, /var/lib/cni and /etc/cni, lo up.
// `plugins` is then at kPluginDirectory. Throws std::system_error.
void enter_private_place(const std::string& plugins);
inline constexpr const char* kPluginDirectory = "/run/conformance/plugins";
inline constexpr const char* kWorkDirectory = "/run/conformance";

// Makes a network namespace, with lo down, at /run/netns/`name`, and returns that path.
std::string make_netns(const std::string& name);
// Unmounts it: the namespace ends. The path is gone as well.
void delete_netns(const std::string& path);

// Calls `function` in the network namespace at `path`.
void in_netns(const std::string& path, const std::function<void()>& function);

}  // namespace conformance
