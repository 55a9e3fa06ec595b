// An IPAM plugin of our own, for plugins that call one: this very program under another name. It
// writes every call down, and answers as it is told, else with addresses of 10.88.0.0/24.
#pragma once

#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "process.h"

namespace conformance {

inline constexpr const char* kRecorderName = "test-ipam";

// What main() does under that name. `program` is the path of the executable.
int play_recorder(const std::string& program);

class Recorder {
 public:
  struct Reply {
    int status = 0;
    std::string out = {};
    std::string err = {};
    bool killed = false;  // by SIGKILL, in place of an answer
  };

  struct Call {
    std::string verb;
    Environment environment;
    std::string input;
    std::vector<int> descriptors;
    std::string netns;  // what /proc/self/ns/net links to
  };

  // Puts the program into `directory`, which is to be on CNI_PATH.
  explicit Recorder(std::string directory);

  const std::string& directory() const { return directory_; }

  // From now on the answer to `verb`.
  void answer(const std::string& verb, const Reply& reply) const;
  void fail(const std::string& verb, unsigned code, const std::string& message) const;
  // An ADD answers with this result of 1.1.0 in the version of the request; `version`, if given, is
  // the version of the answer instead, and "" leaves cniVersion out.
  void give(const nlohmann::json& result, const std::optional<std::string>& version = {}) const;
  void answer_as_usual() const;

  std::vector<Call> calls() const;
  std::vector<std::string> verbs() const;
  // How many calls of that verb there were.
  std::size_t count(const std::string& verb) const;
  void forget_calls() const;

 private:
  void change_script(const std::string& verb, const nlohmann::json& reply) const;

  std::string directory_;
};

}  // namespace conformance
