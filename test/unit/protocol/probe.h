// A plugin under test, called within this process: its operations are those of the case.
#pragma once

#include <csignal>
#include <functional>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "base/unique_fd.h"
#include "protocol/plugin.h"

namespace cni::test {

using Variables = std::map<std::string, std::string>;
using Strings = std::vector<std::string>;

// Keeps a list of what happens to it and does as the case tells it.
struct Probe {
  Strings seen = {};
  Result result = {};
  // Called by every operation.
  std::function<void(const Request&)> act = [](const Request&) {};
  NetnsUse netns = NetnsUse::kIgnores;
  bool makes_interface = false;

  Plugin plugin();
};

struct Answer {
  int status;
  std::string out;
  std::string err;

  nlohmann::json json() const { return nlohmann::json::parse(out, nullptr, false); }
  // Of an error object; 0 if this is none.
  int code() const;
  std::string message() const;
};

// `in` is the descriptor of stdin.
Answer call(Probe& probe, const Variables& variables, int in);
Answer call(Probe& probe, const Variables& variables, const std::string& input);
// The status of a call whose stdout is `out`.
int status_with_stdout(Probe& probe, const Variables& variables, const std::string& input, int out);
// A call that has to be refused before anything happens.
void check_refused(Probe& probe, const Variables& environment, const std::string& input, int code);

// All that a command needs. By default CNI_NETNS names nothing.
Variables variables(const std::string& command, const std::string& netns = "/absent");
std::string conf(const std::string& version = "1.1.0");
Result with_address();

struct Pipe {
  Pipe();
  UniqueFd read;
  UniqueFd write;
};

// So that a pipe without a reader is an error of write(2), as in the real main.
class IgnoredSigpipe {
 public:
  IgnoredSigpipe() : previous_(std::signal(SIGPIPE, SIG_IGN)) {}
  IgnoredSigpipe(const IgnoredSigpipe&) = delete;
  IgnoredSigpipe& operator=(const IgnoredSigpipe&) = delete;
  ~IgnoredSigpipe() { std::signal(SIGPIPE, previous_); }

 private:
  void (*previous_)(int);
};

// A file without a name, at its beginning.
UniqueFd file_with(const std::string& content);
std::string content_of(const UniqueFd& file);
GetVariable getter(const Variables& variables);

}  // namespace cni::test
