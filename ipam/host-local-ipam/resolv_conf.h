// resolv.conf(5), as far as a CNI result can carry it.
#pragma once

#include <string>
#include <string_view>

#include "protocol/result.h"

namespace cni::host_local {

// Several "search" and "options" lines add up. Lines that say nothing of interest are passed over.
Dns parse_resolv_conf(std::string_view text);

// Throws IoError if `path` is no regular file, or longer than 1 MiB.
Dns read_resolv_conf(const std::string& path);

}  // namespace cni::host_local
