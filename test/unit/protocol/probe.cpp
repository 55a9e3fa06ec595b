#include "unit/protocol/probe.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <array>
#include <catch2/catch.hpp>

#include "base/file.h"
#include "base/undo.h"
#include "inet/network.h"

namespace cni::test {

Plugin Probe::plugin() {
  const auto operation = [this](const std::string& name) {
    return [this, name](const Request& request) {
      seen.push_back(name);
      act(request);
    };
  };
  return {
      .name = "probe",
      .netns = netns,
      .makes_interface = makes_interface,
      .add =
          [this](const Request& request, Undo& undo) {
            undo.add("undo the ADD", [this] { seen.emplace_back("undo"); });
            seen.emplace_back("ADD");
            act(request);
            return result;
          },
      .check = operation("CHECK"),
      .del = operation("DEL"),
      .status = operation("STATUS"),
      .gc = operation("GC"),
  };
}

int Answer::code() const {
  const auto document = json();
  return document.is_object() ? document.value("code", 0) : 0;
}
std::string Answer::message() const {
  const auto document = json();
  return document.is_object() ? document.value("msg", "") : "";
}

Pipe::Pipe() {
  std::array<int, 2> ends{};
  REQUIRE(::pipe2(ends.data(), O_CLOEXEC) == 0);
  read = UniqueFd(ends[0]);
  write = UniqueFd(ends[1]);
}

UniqueFd file_with(const std::string& content) {
  UniqueFd file(::memfd_create("test", MFD_CLOEXEC));
  REQUIRE(file);
  write_all(file.get(), content, "a file");
  ::lseek(file.get(), 0, SEEK_SET);
  return file;
}

std::string content_of(const UniqueFd& file) {
  ::lseek(file.get(), 0, SEEK_SET);
  return read_all(file.get(), 1'000'000, "a file");
}

GetVariable getter(const Variables& variables) {
  return [&variables](const char* name) -> std::string {
    const auto found = variables.find(name);
    return found == variables.end() ? "" : found->second;
  };
}

Answer call(Probe& probe, const Variables& variables, int in) {
  const UniqueFd out = file_with("");
  const UniqueFd err = file_with("");
  const int status =
      run_plugin(probe.plugin(),
                 {.variable = getter(variables), .in = in, .out = out.get(), .err = err.get()});
  return {.status = status, .out = content_of(out), .err = content_of(err)};
}

Answer call(Probe& probe, const Variables& variables, const std::string& input) {
  return call(probe, variables, file_with(input).get());
}

int status_with_stdout(Probe& probe, const Variables& variables, const std::string& input,
                       int out) {
  const UniqueFd in = file_with(input);
  const UniqueFd err = file_with("");
  return run_plugin(probe.plugin(),
                    {.variable = getter(variables), .in = in.get(), .out = out, .err = err.get()});
}

Variables variables(const std::string& command, const std::string& netns) {
  return {{"CNI_COMMAND", command},
          {"CNI_CONTAINERID", "c1"},
          {"CNI_NETNS", netns},
          {"CNI_IFNAME", "eth0"},
          {"CNI_PATH", "/absent"}};
}

std::string conf(const std::string& version) {
  return R"({"cniVersion":")" + version + R"(","name":"n"})";
}

Result with_address() {
  return {.ips = {{.address = *inet::Network::parse("10.1.2.5/24")}}};
}

void check_refused(Probe& probe, const Variables& environment, const std::string& input, int code) {
  const Answer answer = call(probe, environment, input);
  INFO(answer.out);
  CHECK(answer.status == 1);
  CHECK(answer.code() == code);
  CHECK(answer.json().contains("cniVersion"));
  CHECK(answer.err.empty());
  CHECK(probe.seen.empty());
}

}  // namespace cni::test
