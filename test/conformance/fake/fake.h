// Plugins that do as the specification wants, unless they are told a defect by name: the id of a
// clause. With a defect they break that clause, and as little else as can be.
#pragma once

#include <nlohmann/json.hpp>
#include <stdexcept>
#include <string>
#include <vector>

#include "process.h"

namespace fake {

using conformance::Environment;
using nlohmann::json;

struct Error : std::runtime_error {
  Error(int number, const std::string& message) : std::runtime_error(message), code(number) {}
  int code;
};

struct Request {
  std::string verb, id, netns, ifname, args, path;
  std::string input;  // as it came
  json config;
  std::string version, network;

  bool is(const char* command) const { return verb == command; }
  json previous() const { return config.value("prevResult", json()); }
  // In the shape of 1.1.0.
  json previous_result() const;
  bool is_valid_attachment(const std::string& container, const std::string& interface) const;
};

// Whether this defect was asked for.
bool defect(const char* clause);

// Each does one command; ADD returns the result in 1.1.0. Throw Error.
using Plugin = json (*)(const Request&);
json main_plugin(const Request& request);
json ipam_plugin(const Request& request);
json chained_plugin(const Request& request);
json loopback_plugin(const Request& request);

// DEL of the IPAM plugin of the fake main plugin, whose own failure counts for nothing.
void release_addresses(const Request& request);

// Holds a lock until the end of the process.
void lock();

// What an attachment leaves on the host: a file, in /var/lib/cni/fake/<network>.
void leave_mark(const Request& request);
bool has_mark(const Request& request);
void remove_mark(const Request& request);
void remove_marks_of_the_dead(const Request& request);

}  // namespace fake
