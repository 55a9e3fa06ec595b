// IPv6 on a link of the namespace this thread is in (netns::Scope). Kernels may lack it, and hosts
// may have switched it off.
#pragma once

#include <string>

namespace cni::attachment {

// Makes IPv6 addresses possible on `link`. Throws Error 999 that names the sysctl which stands in
// the way.
void enable_ipv6(const std::string& link);

// Whoever sends router advertisements (RFC 4861) into `link` changes neither addresses nor routes
// of this namespace. Call it before the link is up. Without IPv6 there is nothing to refuse.
void refuse_router_advertisements(const std::string& link);

}  // namespace cni::attachment
