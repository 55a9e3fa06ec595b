// One call of a plugin. Everything in it was checked before the plugin sees it.
#pragma once

#include <optional>

#include "netns/netns.h"
#include "protocol/environment.h"
#include "protocol/net_conf.h"
#include "protocol/version.h"

namespace cni {

struct Request {
  Command command;
  Environment environment;
  NetConf conf;
  Version version;
  // The container's namespace, open. Always there in ADD and CHECK of a plugin that enters it; in
  // DEL nothing if it is gone; never there in GC and STATUS.
  std::optional<netns::Netns> netns;

  Attachment attachment() const { return {environment.container_id, environment.ifname}; }
};

}  // namespace cni
