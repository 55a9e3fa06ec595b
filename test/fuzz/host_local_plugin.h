// The operations of host-local-ipam, as its main() has them.
#pragma once

#include "base/undo.h"
#include "protocol/request.h"
#include "protocol/result.h"

namespace cni::fuzz::host_local_plugin {

Result add(const Request& request, Undo& undo);
void check(const Request& request);
void del(const Request& request);
void status(const Request& request);
void gc(const Request& request);

// A call with this configuration.
Request call(Command command, const std::string& conf, const std::string& container_id);

}  // namespace cni::fuzz::host_local_plugin
