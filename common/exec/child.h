// Runs another program to its end, within limits. No shell is involved.
#pragma once

#include <chrono>
#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace cni::exec {

struct Limits {
  std::chrono::milliseconds time = std::chrono::seconds(60);
  // The child has ended but somebody it started holds its output open: how long to read on.
  std::chrono::milliseconds grace = std::chrono::seconds(1);
  // This process was interrupted: how long a child that has been sent SIGTERM may take to stop, or
  // one that is started after that to work.
  std::chrono::milliseconds stop = std::chrono::seconds(5);
  // Most bytes of stdout, and of stderr.
  std::size_t output = std::size_t{16} << 20U;
};

enum class Ending { kExited, kSignalled, kTimedOut, kFlooded };

struct Outcome {
  Ending ending;
  int number;  // exit status or signal
  std::string out;
  std::string err;
};

// Where the stderr of a child goes besides the outcome.
enum class Stderr {
  kPassedOn,  // to ours, as it comes
  kKept,      // nowhere
};

// Starts `path` with itself as the only argument and `environment` ("K=V" each), feeds it `input`
// and collects what it prints.
//
// The child has descriptors 0, 1 and 2 only, default signal handling, no inheritable capabilities
// and a process group of its own, which is killed when a limit is passed. It dies with this
// process. Throws SystemError if it cannot be started, Busy if somebody is writing the file
// (ETXTBSY), and Interrupted if this process was interrupted and the child failed. This process
// must ignore SIGPIPE: a child need not read its input.
Outcome run_child(const std::string& path, const std::vector<std::string>& environment,
                  std::string_view input, const Limits& limits = {},
                  Stderr stderr_goes = Stderr::kPassedOn);

// "exit status 3", "signal: killed", ...
std::string describe(const Outcome& outcome);

}  // namespace cni::exec
