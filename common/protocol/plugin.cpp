#include "protocol/plugin.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <cstdlib>

#include "base/deadline.h"
#include "base/error.h"
#include "base/file.h"
#include "base/grace_period.h"
#include "base/interruption.h"
#include "base/log.h"
#include "base/memory_reserve.h"
#include "base/text.h"
#include "json/parse.h"
#include "protocol/error.h"
#include "protocol/result_versions.h"

namespace cni {
namespace {

constexpr std::size_t kLongestInput = std::size_t{16} << 20U;  // bytes
constexpr std::chrono::milliseconds kVersionInputWait{250};

std::string version_list() {
  std::vector<std::string_view> versions;
  for (const Version version : kVersions) versions.push_back(text(version));
  return fmt::format("{}", fmt::join(versions, ", "));
}

void print_about(const Plugin& plugin, int fd) {
  write_all(fd,
            fmt::format("CNI {} plugin {}\nCNI protocol versions supported: {}\n", plugin.name,
                        CNI_BUILD_VERSION, version_list()),
            "stderr");
}

std::string read_input(int fd) {
  try {
    return read_all(fd, kLongestInput, "stdin");
  } catch (const IoError& error) {
    if (error.number() == EFBIG) {
      throw Error(
          Code::kDecodingFailure,
          fmt::format("error unmarshall network config: longer than {} bytes", kLongestInput));
    }
    throw Error(Code::kIoFailure, fmt::format("error reading from stdin: {}", error.what()));
  }
}

// The version that a VERSION call asks with. The older spec versions send no input, so what does
// not come soon is not waited for, and what cannot be read is the newest version.
Version asked_version(int fd) {
  std::string input;
  std::array<char, 4096> buffer{};
  const Deadline deadline = Deadline::in(kVersionInputWait);
  pollfd waited{.fd = fd, .events = POLLIN, .revents = 0};
  while (::isatty(fd) == 0 && input.size() < kLongestInput &&
         ::poll(&waited, 1, deadline.poll_timeout_ms()) == 1 && (waited.revents & POLLNVAL) == 0) {
    const ssize_t count = ::read(fd, buffer.data(), buffer.size());
    if (count <= 0) break;
    input.append(buffer.data(), static_cast<std::size_t>(count));
  }
  try {
    const json::Value document = json::parse(input);
    const auto given = json::Reader(document)["cniVersion"].find_string();
    return given ? find_version(*given).value_or(kNewestVersion) : kNewestVersion;
  } catch (const json::SyntaxError&) {
    return kNewestVersion;
  } catch (const json::ValueError&) {
    return kNewestVersion;
  }
}

void print_versions(const Streams& streams) {
  json::Value document = json::Value::object();
  document["cniVersion"] = text(asked_version(streams.in));
  document["supportedVersions"] = json::Value::array();
  for (const Version version : kVersions) document["supportedVersions"].push_back(text(version));
  write_all(streams.out, json::compact(document) + "\n", "stdout");
}

// CHECK, GC and STATUS came with later spec versions than ADD and DEL.
void check_command_known(Command command, const NetConf& conf) {
  const Version version = conf.version();
  const bool too_old = (command == Command::kCheck && version < Version::k0_4_0) ||
                       (command == Command::kGc && version < Version::k1_1_0) ||
                       (command == Command::kStatus && version < Version::k1_1_0);
  if (too_old) {
    throw Error(Code::kIncompatibleVersion,
                fmt::format("config version does not allow {}", text(command)),
                fmt::format("cniVersion is {}", text(version)));
  }
}

// Runtimes look for this name in CNI_PATH. DEL does not need it.
void check_type(Command command, const NetConf& conf) {
  if (command != Command::kAdd && command != Command::kCheck) return;
  const json::Reader key = conf["type"];
  const std::string type = key.string_or("");
  if (!type.empty() && !is_plain_name(type)) {
    key.refuse(fmt::format("invalid plugin name: {}", cut(type)));
  }
}

Error own_netns_error(const Environment& environment) {
  return Error(Code::kInvalidNetns,
               "plugin's netns and netns from CNI_NETNS should not be the same",
               fmt::format("CNI_NETNS is {}", environment.netns));
}

std::optional<netns::Netns> find_netns(const Plugin& plugin, Command command,
                                       const Environment& environment) {
  const bool required = plugin.netns == NetnsUse::kEnters && command != Command::kDel;
  if (required) return netns::Netns::open(environment.netns);
  try {
    return netns::Netns::find(environment.netns);
  } catch (const netns::InvalidNetns& error) {
    // Whatever is there now, the attachment's namespace is gone.
    if (command == Command::kDel) log::warning("{}, ignoring", error.what());
    return std::nullopt;
  }
}

// What plugins before this one in the chain have made. Theirs stays in the result; a plugin that
// makes no interface of its own passes it on by itself. It came with 0.3.0.
std::optional<Result> find_kept_result(const Plugin& plugin, const Request& request) {
  if (!plugin.makes_interface || request.version < Version::k0_3_0) return std::nullopt;
  return request.conf.find_prev_result();
}

void run_add(const Plugin& plugin, const Request& request, const Streams& streams) {
  const std::optional<Result> previous = find_kept_result(plugin, request);
  Undo undo;
  Result result = plugin.add(request, undo);
  if (previous) result = appended(*previous, result);
  interruption::check();
  const std::string output = json::pretty(render_result(result, request.version));
  write_all(streams.out, output, "stdout");
  undo.commit();
}

void run_attachment_command(const Plugin& plugin, Request& request, const Streams& streams) {
  request.netns = find_netns(plugin, request.command, request.environment);
  const bool own =
      request.netns && !request.environment.netns_override && *request.netns == netns::Netns::own();
  if (own) request.netns.reset();
  switch (request.command) {
    case Command::kAdd:
      if (own) throw own_netns_error(request.environment);
      run_add(plugin, request, streams);
      break;
    case Command::kCheck:
      if (own) throw own_netns_error(request.environment);
      plugin.check(request);
      break;
    default:
      // The host side is cleaned, and no link of our own namespace touched, before we complain.
      plugin.del(request);
      if (own) throw own_netns_error(request.environment);
      break;
  }
}

// Where this host refuses what ADD would do the plugin is not available.
void run_status(const Plugin& plugin, const Request& request) {
  try {
    plugin.status(request);
  } catch (const SystemError& error) {
    throw Error(Code::kNotAvailable, error.what());
  }
}

// `version` becomes that of the request as soon as it is known.
void run_command(const Plugin& plugin, const Streams& streams, Version& version) {
  const Environment environment = read_environment(streams.variable, plugin.makes_interface);
  if (environment.command == text(Command::kVersion)) {
    print_versions(streams);
    return;
  }
  const NetConf conf = NetConf::parse(read_input(streams.in));
  const Command command = parse_command(environment.command);
  version = conf.version();
  check_command_known(command, conf);
  check_type(command, conf);

  Request request{.command = command,
                  .environment = environment,
                  .conf = conf,
                  .version = version,
                  .netns = std::nullopt};
  switch (command) {
    case Command::kGc:
      plugin.gc(request);
      break;
    case Command::kStatus:
      run_status(plugin, request);
      break;
    default:
      run_attachment_command(plugin, request, streams);
      break;
  }
}

// Places that the runtime closed are taken by a descriptor that neither reads nor writes, so that
// no file or socket of ours is ever opened as stdin, stdout or stderr.
void occupy_standard_streams() {
  for (const int fd : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) {
    if (::fcntl(fd, F_GETFD) == -1) [[maybe_unused]]
      const int taken = ::open("/", O_PATH);
  }
}

}  // namespace

int run_plugin(const Plugin& plugin, const Streams& streams) {
  log::set_program(plugin.name);
  Version version = kNewestVersion;
  try {
    if (streams.variable("CNI_COMMAND").empty()) {
      print_about(plugin, streams.err);
    } else {
      run_command(plugin, streams, version);
    }
    return 0;
  } catch (...) {
    const Error error = to_error(std::current_exception());
    log::info("{}", error.what());
    try {
      write_all(streams.out, json::pretty(error_document(error, version)), "stdout");
    } catch (const IoError& unwritten) {
      log::error("{}; {}", error.what(), unwritten.what());
    }
    return 1;
  }
}

int run_plugin(const Plugin& plugin) {
  occupy_standard_streams();
  // A reader that went away is an error of write(2), not the end of the process.
  std::signal(SIGPIPE, SIG_IGN);
  interruption::listen();
  memory_reserve::hold();
  grace_period::allow();
  const auto variable = [](const char* name) -> std::string {
    const char* value = std::getenv(name);
    return value == nullptr ? "" : value;
  };
  const int status = run_plugin(
      plugin,
      Streams{
          .variable = variable, .in = STDIN_FILENO, .out = STDOUT_FILENO, .err = STDERR_FILENO});
  grace_period::finish();
  return status;
}

}  // namespace cni
