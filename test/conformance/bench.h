// Where one clause is tried on one plugin: namespaces, calls, and what is expected of them.
#pragma once

#include <fmt/format.h>

#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

#include "process.h"
#include "recorder.h"
#include "snapshot.h"
#include "subject.h"

namespace conformance {

using nlohmann::json;

// The plugin does not do as the clause wants.
struct Failed : std::runtime_error {
  using std::runtime_error::runtime_error;
};

// The clause has nothing to say about this plugin.
struct NotApplicable : std::runtime_error {
  using std::runtime_error::runtime_error;
};

struct Attachment {
  std::string id = "c1";
  std::string ifname = "eth0";
  std::string container = "a";  // name of the network namespace

  auto operator<=>(const Attachment&) const = default;
};

// Variables to set, or to leave out (std::nullopt).
using Changes = std::map<std::string, std::optional<std::string>>;

class Bench {
 public:
  // Enters a private place with the plugins of a folder: once in a process.
  Bench(const Subject& subject, std::string version, const std::string& plugins);

  const Subject& subject() const { return subject_; }
  Kind kind() const { return subject_.kind; }
  const std::string& version() const { return version_; }
  const Recorder& ipam() const { return ipam_; }
  bool serves(const std::string& first_version) const { return version_ >= first_version; }
  bool makes_interface() const { return kind() == kMain; }

  // Attachments of this plugin; loopback has a name of its own for the interface.
  Attachment attachment(const std::string& id = "c1", const std::string& container = "a") const;
  // The path of its namespace, which is made if it is not there.
  std::string netns(const Attachment& attachment) const;
  std::string netns() const { return netns(attachment()); }
  void end_container(const Attachment& attachment);

  // A configuration of network net1, with `patch` over it; null in the patch removes a key.
  json config(const json& patch = json::object()) const;
  // The same with the prevResult that a runtime would send: for ADD of a chained plugin that of an
  // interface this program has made, for the others what the last ADD of the attachment gave.
  json request(const std::string& verb, const Attachment& attachment,
               const json& patch = json::object());
  // What a chained plugin gets from its predecessor, in the version under test or another.
  json base_result(const Attachment& attachment) { return base_result(attachment, version_); }
  json base_result(const Attachment& attachment, const std::string& version);

  Environment environment(const std::string& verb, const Attachment& attachment,
                          const Changes& changes = {}) const;
  Program program(const std::string& verb, const Attachment& attachment, const json& config,
                  const Changes& changes = {}) const;
  Outcome call(const std::string& verb, const Attachment& attachment, const json& config,
               const Changes& changes = {}) const;
  // With request().
  Outcome call(const std::string& verb, const Attachment& attachment);

  // ADD, which has to succeed; the result is remembered for CHECK and DEL.
  json add(const Attachment& attachment, const json& patch = json::object());
  json add() { return add(attachment()); }
  void remember(const Attachment& attachment, const json& result, const json& patch = {});
  // DEL, which has to succeed.
  void del(const Attachment& attachment, const json& patch = json::object());
  void check(const Attachment& attachment, const std::string& when);

  // GC with these attachments alive.
  json gc_config(const std::vector<Attachment>& valid, const json& patch = json::object()) const;

  // An ADD and a DEL, after which everything is there that stays by design.
  void warm_up();

 private:
  void make_base_link(const Attachment& attachment);

  const Subject& subject_;
  std::string version_;
  Recorder ipam_;
  std::map<std::pair<std::string, Attachment>, json> results_;  // by network
  std::map<std::pair<std::string, std::string>, json> bases_;   // by container and interface
  int last_base_ = 0;
};

// What calls have to come to; all throw Failed with `what`.
void expect(bool fine, const std::string& what);
json expect_result(const Outcome& outcome, const std::string& what);
void expect_success(const Outcome& outcome, const std::string& what);
void expect_silence(const Outcome& outcome, const std::string& what);  // success without output
// The error object; with one of `codes` if there are any.
json expect_error(const Outcome& outcome, const std::string& what,
                  const std::vector<int>& codes = {});
void expect_mention(const json& error, const std::string& word, const std::string& what);
// What there is now; it may take ten seconds to become so.
void expect_same(const Snapshot& before, const std::string& what);
void expect_same(const Snapshot& before, const Snapshot& after, const std::string& what);
void expect_schema(const std::string& schema, const json& document, const std::string& what);
void applies(bool applicable, const std::string& reason);

// A result seen as one of 1.1.0, whatever its version: lists are there, if empty.
json in_newest(const json& result);
std::vector<std::string> addresses_in(const json& result);

}  // namespace conformance
