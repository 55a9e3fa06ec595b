// The frame around every plugin: reads the request, calls one operation, prints what came of it.
//
// Operations throw on failure and never print. All checks of the request come before the operation;
// an ADD is undone unless its result was written completely.
#pragma once

#include <functional>
#include <string>

#include "base/undo.h"
#include "protocol/environment.h"
#include "protocol/request.h"
#include "protocol/result.h"

namespace cni {

// What a plugin does with CNI_NETNS.
enum class NetnsUse {
  kEnters,   // ADD and CHECK need a network namespace
  kIgnores,  // an IPAM plugin: the path may name nothing
};

struct Plugin {
  std::string name;
  NetnsUse netns = NetnsUse::kEnters;
  bool makes_interface = false;  // CNI_IFNAME is the name of a new interface

  std::function<Result(const Request&, Undo&)> add;
  std::function<void(const Request&)> check;
  std::function<void(const Request&)> del;
  std::function<void(const Request&)> status;
  std::function<void(const Request&)> gc;
};

// Where a call comes from and its answer goes to.
struct Streams {
  GetVariable variable;
  int in;   // file descriptor of the configuration
  int out;  // file descriptor of the result or error
  int err;  // file descriptor of the about text
};

// Returns the exit status: 0 exactly if the operation succeeded.
int run_plugin(const Plugin& plugin, const Streams& streams);

// With the environment and the standard streams of this process.
int run_plugin(const Plugin& plugin);

}  // namespace cni
