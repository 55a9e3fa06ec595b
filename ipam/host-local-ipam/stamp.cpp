#include "stamp.h"

#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <ctime>
#include <filesystem>

#include "base/error.h"
#include "base/file.h"
#include "base/text.h"
#include "protocol/args.h"

namespace cni::host_local {
namespace {

constexpr std::size_t kLongestProcFile = std::size_t{4} << 20U;  // bytes
// Ends a record, so that a torn one is seen.
constexpr std::string_view kEnd = "end";

// A file of another process; nothing if the process, or the right to look at it, is missing.
std::optional<std::string> find_proc_file(pid_t pid, const char* name) {
  try {
    return find_file(fmt::format("/proc/{}/{}", pid, name), kLongestProcFile);
  } catch (const IoError&) {
    return std::nullopt;
  }
}

// Our parent, if it is a plugin in the middle of the same ADD. A shell or a test program that
// starts us has no such environment of its own.
std::optional<Process> find_adder(const std::string& container_id) {
  const pid_t parent = ::getppid();
  const auto environment = find_proc_file(parent, "environ");
  if (!environment) return std::nullopt;
  bool adds = false;
  bool same_container = false;
  for (const std::string& variable : split(*environment, '\0')) {
    adds = adds || variable == "CNI_COMMAND=ADD";
    same_container = same_container || variable == "CNI_CONTAINERID=" + container_id;
  }
  return adds && same_container ? find_process(parent) : std::nullopt;
}

// As a later process will find it, which starts elsewhere.
std::string absolute(const std::string& path) {
  std::error_code error;
  const std::string found = std::filesystem::absolute(path, error).string();
  return error || found.find('\n') != std::string::npos ? std::string() : found;
}

std::optional<NetnsId> parse_netns(const std::string& text) {
  const std::vector<std::string> parts = split(text, ':');
  if (parts.size() != 2) return std::nullopt;
  const auto device = parse_number<dev_t>(parts[0]);
  const auto inode = parse_number<ino_t>(parts[1]);
  if (!device || !inode) return std::nullopt;
  return NetnsId{.device = *device, .inode = *inode};
}

// Takes one "key value" line. Returns false if it makes no sense.
bool read_line(Record& record, const std::string& line) {
  const std::size_t blank = line.find(' ');
  if (blank == std::string::npos) return false;
  const std::string key = line.substr(0, blank);
  const std::string value = line.substr(blank + 1);
  if (key == "boot") {
    record.stamp.boot = value;
  } else if (key == "netns") {
    record.stamp.netns = parse_netns(value);
    return record.stamp.netns.has_value();
  } else if (key == "path") {
    record.stamp.netns_path = value;
  } else if (key == "pod") {
    record.stamp.pod = value;
  } else if (key == "adder") {
    const std::vector<std::string> parts = split(value, ' ');
    const auto pid = parse_number<pid_t>(parts.front());
    if (parts.size() != 2 || !pid) return false;
    record.stamp.adder = Process{.pid = *pid, .start = parts[1]};
  } else if (key == "address") {
    const auto address = inet::Address::parse(value);
    if (!address) return false;
    record.addresses.push_back(*address);
  }
  return true;
}

}  // namespace

std::string boot_id() {
  return std::string(trim(find_file("/proc/sys/kernel/random/boot_id", 128).value_or("")));
}

std::chrono::nanoseconds since_boot() {
  timespec now{};
  ::clock_gettime(CLOCK_BOOTTIME, &now);
  return std::chrono::seconds(now.tv_sec) + std::chrono::nanoseconds(now.tv_nsec);
}

std::optional<Process> find_process(pid_t pid) {
  const auto stat = find_proc_file(pid, "stat");
  if (!stat) return std::nullopt;
  // The second field, the name in parentheses, may hold anything; the 22nd is the start.
  const std::size_t name_end = stat->rfind(')');
  if (name_end == std::string::npos) return std::nullopt;
  const std::vector<std::string> fields = split(stat->substr(name_end), ' ');
  if (fields.size() < 21) return std::nullopt;
  return Process{.pid = pid, .start = fields[20]};
}

Stamp stamp_of(const Request& request) {
  Stamp stamp{.boot = boot_id(), .netns = {}, .netns_path = {}, .adder = {}, .pod = {}};
  if (request.netns) {
    stamp.netns = {.device = request.netns->device(), .inode = request.netns->inode()};
    stamp.netns_path = absolute(request.environment.netns);
  }
  stamp.adder = find_adder(request.environment.container_id);
  stamp.pod = Args::parse_leniently(request.environment.args).pod().value_or("");
  if (stamp.pod.find('\n') != std::string::npos) stamp.pod.clear();
  return stamp;
}

std::string text(const Record& record) {
  std::string text = fmt::format("boot {}\n", record.stamp.boot);
  if (record.stamp.netns) {
    text += fmt::format("netns {}:{}\n", record.stamp.netns->device, record.stamp.netns->inode);
  }
  if (!record.stamp.netns_path.empty()) {
    text += fmt::format("path {}\n", record.stamp.netns_path);
  }
  if (record.stamp.adder) {
    text += fmt::format("adder {} {}\n", record.stamp.adder->pid, record.stamp.adder->start);
  }
  if (!record.stamp.pod.empty()) text += fmt::format("pod {}\n", record.stamp.pod);
  for (const inet::Address& address : record.addresses) {
    text += fmt::format("address {}\n", address.text());
  }
  return text + std::string(kEnd) + '\n';
}

std::optional<Record> parse_record(std::string_view text) {
  const std::vector<std::string> lines = split(text, '\n');
  if (lines.size() < 2 || lines[lines.size() - 2] != kEnd || !lines.back().empty()) {
    return std::nullopt;
  }
  Record record;
  for (std::size_t at = 0; at + 2 < lines.size(); ++at) {
    if (!read_line(record, lines[at])) return std::nullopt;
  }
  return record;
}

}  // namespace cni::host_local
