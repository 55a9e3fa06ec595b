// An ADD that fails leaves the host, the container and the files as they were. Every failure comes
// from outside, at another step of the way.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "plugin/network.h"

namespace cni::test {

struct Failure {
  const char* name;
  int code;
  const char* message;
  std::vector<std::string> ipam_verbs;
  // Makes it happen: in the network, the container, or the call to come.
  std::function<void(Network&, const Attached&)> arrange;
  std::function<void(PluginCall&)> change = [](PluginCall&) {};
};

// The address and gateway of each family that IPAM gives unless it is told otherwise.
extern const Json kAddresses;

// Verbs that IPAM sees.
extern const std::vector<std::string> kUndone;
extern const std::vector<std::string> kNotAsked;

// Ways to arrange a failure.
void nothing(Network& net, const Attached& attached);
std::function<void(Network&, const Attached&)> ipam_says(const FakePlugin::Reply& reply);
std::function<void(Network&, const Attached&)> ipam_gives(const Json& answer);

// ADD and a DEL after it, in a network that has another container or, if `first`, none yet.
void check_undone(const Failure& failure, Network& net, bool first);

}  // namespace cni::test
