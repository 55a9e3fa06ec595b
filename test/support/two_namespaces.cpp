#include "support/two_namespaces.h"

#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdlib>
#include <exception>
#include <sstream>
#include <system_error>
#include <thread>

#include "support/sandbox.h"

namespace cni::test {
namespace {

[[noreturn]] void fail(const std::string& attempt) {
  throw std::system_error(errno, std::system_category(), attempt);
}

// Runs `function` on a thread of its own, whose namespace may change without a way back.
void on_a_thread(const std::function<void()>& function) {
  std::exception_ptr failure;
  std::thread([&] {
    try {
      function();
    } catch (...) {
      failure = std::current_exception();
    }
  }).join();
  if (failure) std::rethrow_exception(failure);
}

void enter(const std::string& path) {
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) fail("open " + path);
  const int result = ::setns(fd, CLONE_NEWNET);
  ::close(fd);
  if (result != 0) fail("enter " + path);
}

}  // namespace

void in_namespace(const std::string& netns, const std::function<void()>& function) {
  on_a_thread([&] {
    if (!netns.empty()) enter(netns);
    function();
  });
}

Namespace::Namespace(const std::string& name, Loopback loopback) {
  static std::atomic<int> count = 0;
  path_ = "/run/netns/" + name + "-" + std::to_string(++count);
  write_file(path_, "");
  on_a_thread([&] {
    if (::unshare(CLONE_NEWNET) != 0) fail("make a network namespace");
    if (loopback == Loopback::kUp) set_loopback_up();
    if (::mount("/proc/thread-self/ns/net", path_.c_str(), nullptr, MS_BIND, nullptr) != 0) {
      fail("bind " + path_);
    }
  });
}

void Namespace::remove() {
  ::umount2(path_.c_str(), MNT_DETACH);
  ::unlink(path_.c_str());
}

std::string Namespace::run(const std::string& command) const {
  std::istringstream words(command);
  Program program{.argv = {}, .netns = path_};
  for (std::string word; words >> word;) program.argv.push_back(word);
  return run_checked(program);
}

bool Namespace::has_link(const std::string& name) const {
  return test::run({.argv = {"ip", "link", "show", "dev", name}, .netns = path_}).status == 0;
}

Inside::Inside(const Namespace& target)
    : home_(::open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC)) {
  if (home_ < 0) fail("open the own network namespace");
  enter(target.path());
}

Inside::~Inside() {
  // Going on in the wrong namespace would make every later test lie.
  if (::setns(home_, CLONE_NEWNET) != 0) std::abort();
  ::close(home_);
}

Namespace& Host::add_container(const std::string& name) {
  containers_.push_back(std::make_unique<Namespace>(name));
  return *containers_.back();
}

}  // namespace cni::test
