// Programs run with everything about them chosen.
#pragma once

#include <chrono>
#include <functional>
#include <map>
#include <string>
#include <vector>

namespace conformance {

using Environment = std::map<std::string, std::string>;

// What stands at a standard stream other than a pipe.
enum class Stream { kPipe, kClosed, kFullDevice, kDirectory, kWriteOnly, kSilentPipe };

struct Program {
  std::vector<std::string> argv;  // argv[0] is the path of the file
  Environment environment;
  std::string input = {};
  Stream in = Stream::kPipe;
  Stream out = Stream::kPipe;
  Stream err = Stream::kPipe;
  bool byte_by_byte = false;  // one write for each byte of `input`
  // Called in the new process before the program: the last word on directory, umask and the like.
  std::function<void()> prepare = {};
  // SIGKILL after this time; zero: never.
  std::chrono::microseconds kill_after = {};
  // Longer than any plugin may take; then it is killed and `timed_out`.
  std::chrono::seconds limit = std::chrono::seconds(60);
};

struct Outcome {
  int status = -1;  // exit status, or -1 if a signal ended it
  int signal = 0;
  bool timed_out = false;
  std::string out = {};
  std::string err = {};

  // For messages: how it ended and what it printed, shortened.
  std::string text() const;
};

// Runs one program in the namespaces of the caller and kills what it leaves of its process group.
Outcome run(const Program& program);

// Runs all of them at the same time; the outcomes are in the same order.
std::vector<Outcome> run_together(const std::vector<Program>& programs);

}  // namespace conformance
