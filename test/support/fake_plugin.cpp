#include <fmt/format.h>

#include <filesystem>
#include <sstream>
#include <utility>

#include "support/sandbox.h"

namespace cni::test {
namespace {

// Calls may run at the same time: mkdir gives each its number. /proc tells of the shell as it was
// started, before it changed a variable. The shell's own descriptors are left out: they are marked
// close-on-exec (02000000 octal), which nothing that came through execve(2) can be.
constexpr const char* kRecorder = R"sh(
number=1
while ! mkdir "$records/call.$number" 2>/dev/null; do number=$((number + 1)); done
call="$records/call.$number"
(cd /proc/$$ && for fd in fd/*; do
  fd=${fd#fd/}
  case "$(grep ^flags: "fdinfo/$fd")" in *[2367]??????) continue ;; esac
  echo "$fd $(readlink "fd/$fd")"
done) >"$call/descriptors"
cat /proc/$$/cmdline >"$call/argv"
cat /proc/$$/environ >"$call/environment"
cat /proc/$$/status >"$call/status"
cat >"$call/input"
reply="$records/reply.$CNI_COMMAND"
test -e "$reply" || reply="$records/reply"
. "$reply.before"
cat "$reply.err" >&2
cat "$reply"
exit "$(cat "$reply.status")"
)sh";

std::vector<std::string> split_zero(const std::string& text) {
  std::vector<std::string> parts;
  std::istringstream stream(text);
  for (std::string part; std::getline(stream, part, '\0');) parts.push_back(part);
  return parts;
}

}  // namespace

std::string FakePlugin::Call::verb() const {
  const auto found = environment.find("CNI_COMMAND");
  return found == environment.end() ? "" : found->second;
}

FakePlugin::FakePlugin(const std::string& directory, const std::string& name)
    : path_(directory + "/" + name), records_(directory + "/." + name) {
  std::filesystem::create_directories(records_);
  reply_to_all({});
  write_file(path_, fmt::format("#!/bin/sh\nrecords='{}'\n", records_) + kRecorder, 0755);
}

void FakePlugin::write_reply(const std::string& key, const Reply& reply) {
  const std::string file = records_ + "/" + key;
  write_file(file + ".before", reply.before + "\n");
  write_file(file + ".err", reply.err);
  write_file(file + ".status", std::to_string(reply.status));
  write_file(file, reply.out);
}

void FakePlugin::reply(const std::string& verb, const Reply& reply) {
  write_reply("reply." + verb, reply);
}

void FakePlugin::reply_to_all(const Reply& reply) {
  write_reply("reply", reply);
}

std::vector<FakePlugin::Call> FakePlugin::calls() const {
  std::vector<Call> calls;
  for (int number = 1;; ++number) {
    const std::string directory = fmt::format("{}/call.{}/", records_, number);
    if (!std::filesystem::exists(directory + "input")) return calls;
    Call call;
    call.argv = split_zero(read_whole_file(directory + "argv"));
    // The kernel puts the interpreter of a script in front (execve(2)).
    if (!call.argv.empty()) call.argv.erase(call.argv.begin());
    for (const std::string& assignment : split_zero(read_whole_file(directory + "environment"))) {
      const std::size_t equals = assignment.find('=');
      call.environment[assignment.substr(0, equals)] =
          equals == std::string::npos ? "" : assignment.substr(equals + 1);
    }
    call.input = read_whole_file(directory + "input");
    std::istringstream descriptors(read_whole_file(directory + "descriptors"));
    int fd = 0;
    for (std::string target; descriptors >> fd && std::getline(descriptors >> std::ws, target);) {
      call.descriptors[fd] = target;
    }
    call.process_status = read_whole_file(directory + "status");
    calls.push_back(std::move(call));
  }
}

}  // namespace cni::test
