// What the commands of the fake main plugin share.
#pragma once

#include "fake/fake.h"

namespace fake {

// There from the first attachment on.
inline constexpr const char* kShared = "/var/lib/cni/fake-shared";
// In no snapshot: what the plugin remembers for a defect alone.
inline constexpr const char* kHidden = "/run/.fake";

// Adds to a number that is kept under a name, or sets it to 0 if `step` is 0; returns what it is.
int count(const std::string& name, int step);

std::string host_link(const Request& request);
bool has_netns(const Request& request);
void check_settings(const Request& request);

json add(const Request& request);

}  // namespace fake
