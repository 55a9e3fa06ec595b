// The plugins this program knows how to configure.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace conformance {

// As bits, so that a clause can name several.
enum Kind : unsigned {
  kMain = 1,      // makes an interface and calls an IPAM plugin
  kIpam = 2,      // is called by these
  kChained = 4,   // adds something to an attachment that others have made
  kLoopback = 8,  // sets up what is there
  kAny = 15,
};

struct Subject {
  std::string name;  // of the file
  Kind kind;
  nlohmann::json config;   // all but cniVersion and name
  nlohmann::json invalid;  // keys with a value that makes no sense
  std::string ifname = "eth0";
};

// Nothing is known of a plugin that is not here. Names of one plugin are subjects of their own.
const std::vector<Subject>& known_subjects();

const char* text(Kind kind);

}  // namespace conformance
