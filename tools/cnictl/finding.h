// What lint says about a configuration.
#pragma once

#include <string>
#include <vector>

namespace cni::cnictl {

enum class Severity {
  kError,    // a runtime or a plugin refuses it, or it does not do what it says
  kWarning,  // it works, and probably not as meant
  kHint,     // good to know
};

struct Finding {
  std::string path;  // of the key, for example "plugins[0].ipam.subnet"; "" for the document
  Severity severity;
  std::string sentence;
  std::string suggestion;  // "" if there is none
};

class Findings {
 public:
  void error(std::string path, std::string sentence, std::string suggestion = {}) {
    add(Severity::kError, std::move(path), std::move(sentence), std::move(suggestion));
  }
  void warning(std::string path, std::string sentence, std::string suggestion = {}) {
    add(Severity::kWarning, std::move(path), std::move(sentence), std::move(suggestion));
  }
  void hint(std::string path, std::string sentence, std::string suggestion = {}) {
    add(Severity::kHint, std::move(path), std::move(sentence), std::move(suggestion));
  }

  const std::vector<Finding>& all() const { return all_; }

 private:
  void add(Severity severity, std::string path, std::string sentence, std::string suggestion) {
    all_.push_back({.path = std::move(path),
                    .severity = severity,
                    .sentence = std::move(sentence),
                    .suggestion = std::move(suggestion)});
  }
  std::vector<Finding> all_;
};

}  // namespace cni::cnictl
