// What is left to a child when links and rules are removed. Each case is a process of its own, as
// nothing takes grace_period::allow() back.
#include "base/grace_period.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <catch2/catch.hpp>
#include <csignal>
#include <filesystem>
#include <string>
#include <vector>

#include "base/unique_fd.h"
#include "netlink/link.h"
#include "netlink/link_deletion.h"
#include "nftables/nftables_socket.h"
#include "support/child.h"
#include "support/sandbox.h"
#include "support/two_namespaces.h"

using namespace cni;  // NOLINT(google-build-using-namespace)
using netns::Netns;
using test::Host;
using test::in_child;

namespace {

constexpr std::size_t kMost = 64;
constexpr const char* kFile = "/run/cni/plumb/grace-period.lock";

struct Pipe {
  UniqueFd read;
  UniqueFd write;
};

Pipe make_pipe() {
  std::array<int, 2> ends{};
  if (::pipe(ends.data()) != 0) throw std::runtime_error("no pipe");
  return {.read = UniqueFd(ends[0]), .write = UniqueFd(ends[1])};
}

// A child that lives until end() and has begun to work.
std::optional<pid_t> leave_working_child() {
  const Pipe pipe = make_pipe();
  const auto child = grace_period::leave(pipe.write.get(), [fd = pipe.write.get()] {
    if (::write(fd, "", 1) == 1) ::pause();
  });
  char byte = 0;
  if (child && ::read(pipe.read.get(), &byte, 1) != 1) throw std::runtime_error("no word of it");
  return child;
}

void end(pid_t child) {
  ::kill(child, SIGKILL);
  ::waitpid(child, nullptr, 0);
}

// A child has ended at once, and nobody has taken it away yet.
pid_t leave_ended_child() {
  const auto child = grace_period::leave(-1, [] {});
  if (!child) throw std::runtime_error("no child");
  siginfo_t info{};
  ::waitid(P_PID, static_cast<id_t>(*child), &info, WEXITED | WNOWAIT);
  return *child;
}

std::vector<std::string> descriptors(const std::string& process) {
  std::vector<std::string> all;
  for (const auto& entry : std::filesystem::directory_iterator("/proc/" + process + "/fd")) {
    std::error_code gone;  // the one by which the directory is read
    const std::string name = std::filesystem::read_symlink(entry.path(), gone);
    if (!gone) all.push_back(name.substr(0, name.find(":[")));
  }
  std::ranges::sort(all);
  return all;
}

auto count_sockets() {
  return std::ranges::count(descriptors("self"), "socket");
}

// Each case begins as a host does.
void begin() {
  std::filesystem::remove_all(kFile);
  grace_period::allow();
}

}  // namespace

TEST_CASE("without leave nothing is left to a child", "[grace-period]") {
  CHECK(in_child([] { return std::string(leave_working_child() ? "a child" : "none"); }) == "none");
}

TEST_CASE("a child holds what it needs and nothing else", "[grace-period]") {
  CHECK(in_child([] {
          begin();
          const auto child = leave_working_child();
          if (!child) return std::string("no child");
          const std::string process = std::to_string(*child);
          const auto open = descriptors(process);
          const std::string directory = std::filesystem::read_symlink("/proc/" + process + "/cwd");
          end(*child);
          return fmt::format("{} in {}", fmt::join(open, " "), directory);
        }) == fmt::format("{} pipe in /", kFile));
}

TEST_CASE("there are never more than 64 children", "[grace-period]") {
  CHECK(in_child([] {
          begin();
          std::vector<pid_t> children;
          while (const auto child = leave_working_child()) {
            children.push_back(*child);
            if (children.size() > kMost) break;
          }
          const std::size_t most = children.size();
          end(children[most / 2]);
          const auto another = leave_working_child();
          if (another) children[most / 2] = *another;
          for (const pid_t child : children) end(child);
          return fmt::format("{}, then {}", most, another ? "one more" : "none");
        }) == "64, then one more");
}

TEST_CASE("where nobody takes ended children away no more are made", "[grace-period]") {
  CHECK(in_child([] {
          begin();
          ::prctl(PR_SET_CHILD_SUBREAPER, 1);  // a process 1 that does not care
          const pid_t orphan =
              std::stoi(in_child([] { return std::to_string(leave_ended_child()); }));
          const bool left = grace_period::leave(-1, [] {}).has_value();
          ::waitpid(orphan, nullptr, 0);
          const auto child = grace_period::leave(-1, [] {});
          if (child) end(*child);
          return fmt::format("{}, afterwards {}", left, child.has_value());
        }) == "false, afterwards true");
}

TEST_CASE("a child whose parent still lives is not taken for abandoned", "[grace-period]") {
  CHECK(in_child([] {
          begin();
          const pid_t first = leave_ended_child();
          const auto second = grace_period::leave(-1, [] {});
          end(first);
          if (second) end(*second);
          return std::string(second ? "another" : "none");
        }) == "another");
}

TEST_CASE("a link is gone from both namespaces while the kernel goes on", "[grace-period][veth]") {
  Host host;
  const Netns container = Netns::open(host.add_container().path());
  const test::Inside inside(host);
  netlink::Socket socket = netlink::Socket::here();
  const std::string file_is = GENERATE("a file", "a directory");
  netlink::add_veth(socket,
                    {.host = {.name = "v0"}, .container = {.name = "c0", .netns = &container}});
  const int index = netlink::get_link(socket, "v0").index;
  CHECK(in_child([&] {
          begin();
          // Then there are no children.
          if (file_is == "a directory") std::filesystem::create_directories(kFile);
          netlink::Socket here = netlink::Socket::here();
          netlink::delete_link_promptly(here, index);
          netlink::Socket there = netlink::Socket::in(container);
          const bool in_host = netlink::find_link(here, "v0").has_value();
          const bool in_container = netlink::find_link(there, "c0").has_value();
          netlink::delete_link_promptly(here, index);
          std::filesystem::remove_all(kFile);
          return fmt::format("{} {}", in_host, in_container);
        }) == "false false");
}

TEST_CASE("a refusal that a child met is told", "[grace-period][veth]") {
  Host host;
  const test::Inside inside(host);
  CHECK(in_child([] {
          begin();
          netlink::Socket here = netlink::Socket::here();
          netlink::delete_link_promptly(here, 1);
          return std::string("deleted");
        }) == "delete link 1: operation not supported");
}

TEST_CASE("sockets of netfilter are closed by a child while rules are removed",
          "[grace-period][nftables]") {
  Host host;
  const test::Inside inside(host);
  // Who removes rules: nobody, this process, or another one that has left a child.
  const std::string who = GENERATE("nobody", "this", "another");
  CAPTURE(who);
  CHECK(in_child([&] {
          begin();
          const auto other = who == "another" ? leave_working_child() : std::nullopt;
          const nftables::TableId table{.family = nftables::Family::kIp4, .name = "t"};
          const auto before = count_sockets();
          {
            nftables::Socket socket = nftables::Socket::here();
            nftables::Batch batch;
            batch.ensure_table({.id = table});
            if (who == "this") batch.delete_table(table);
            socket.commit(batch, "test");
          }
          const auto kept = count_sockets() - before;
          grace_period::finish();
          if (other) end(*other);
          return fmt::format("{} kept, {} left", kept, count_sockets() - before);
        }) == (who == "nobody" ? "1 kept, 1 left" : "1 kept, 0 left"));
}
