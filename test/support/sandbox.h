// Temporary files, programs run with everything about them chosen, and fake plugins.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace cni::test {

// Throws std::runtime_error; names the file in its message.
void write_file(const std::string& path, const std::string& content, mode_t mode = 0644);
std::string read_whole_file(const std::string& path);

// A directory below $TMPDIR (else /tmp), deleted with all it holds at the end.
class TempDirectory {
 public:
  TempDirectory();
  TempDirectory(const TempDirectory&) = delete;
  TempDirectory& operator=(const TempDirectory&) = delete;
  ~TempDirectory();

  const std::string& path() const { return path_; }

  // The path of `name` below the directory; nothing is made.
  std::string operator/(const std::string& name) const { return path_ + "/" + name; }

  // Writes a file, and the directories above it, and returns its path.
  std::string write(const std::string& name, const std::string& content, mode_t mode = 0644) const;

 private:
  std::string path_;
};

using Environment = std::map<std::string, std::string>;

// PATH, TMPDIR and the options of the sanitizers: nothing that means anything to CNI.
Environment plain_environment();

struct Program {
  // argv[0] is looked up in PATH if it has no slash.
  std::vector<std::string> argv;
  // The whole environment; plain_environment() if not given.
  std::optional<Environment> environment = {};
  std::string input = {};
  // Path of the network namespace to run in; empty: the namespace of the calling thread.
  std::string netns = {};
  std::string directory = {};
  // Opened for writing as stdout instead of a pipe, for example "/dev/full".
  std::string stdout_path = {};
  // The program starts without a descriptor 1.
  bool stdout_closed = false;
  // When it is over, the process group is killed.
  std::chrono::milliseconds limit = std::chrono::seconds(60);
};

struct Outcome {
  // Exit status, or -1 if a signal ended the program.
  int status = -1;
  int signal = 0;
  bool timed_out = false;
  // After the program had ended, others of its process group were alive. They are killed.
  bool left_processes = false;
  std::string out = {};
  std::string err = {};
  std::chrono::milliseconds took = {};

  // All of it as text, for INFO() and messages.
  std::string text() const;
};

// Runs a program as the leader of a process group of its own, with default signal actions.
// Threads may do so at the same time. Throws std::system_error if it cannot be started; a program
// that is not there exits with 127.
Outcome run(const Program& program);

// Runs a program that has to succeed and returns its stdout. Throws std::runtime_error.
std::string run_checked(const Program& program);

// Sets the loopback interface of the calling thread's network namespace up.
void set_loopback_up();

// An executable on CNI_PATH that stands in for a plugin: records every call and gives the reply
// it was told to give.
class FakePlugin {
 public:
  struct Reply {
    std::string out = {};
    std::string err = {};
    int status = 0;
    // Shell commands to run before the reply is written, for example "sleep 60" or "kill -9 $$".
    std::string before = {};
  };

  struct Call {
    std::vector<std::string> argv;
    Environment environment;
    // The bytes of stdin up to its end.
    std::string input;
    // Open descriptors as number and target, as in /proc/<pid>/fd.
    std::map<int, std::string> descriptors;
    // /proc/<pid>/status: capability sets, ignored and blocked signals.
    std::string process_status;

    // The value of CNI_COMMAND.
    std::string verb() const;
  };

  // Makes `directory`/`name`; the records lie beside it in a directory that starts with a dot.
  FakePlugin(const std::string& directory, const std::string& name);

  const std::string& path() const { return path_; }

  // The reply to one verb ("ADD"), or to every verb that has none of its own.
  void reply(const std::string& verb, const Reply& reply);
  void reply_to_all(const Reply& reply);

  // In the order in which they began.
  std::vector<Call> calls() const;

 private:
  void write_reply(const std::string& key, const Reply& reply);

  std::string path_;
  std::string records_;
};

}  // namespace cni::test
