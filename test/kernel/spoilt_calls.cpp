#include "kernel/spoilt_calls.h"

#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

namespace cni::test {
namespace {

thread_local Calls calls_of_thread;

// Until the one that fails, that included; below 1 all succeed.
thread_local long allocations_left = -1;

bool is_to_fail() {
  if (allocations_left < 1 || --allocations_left > 0) return false;
  errno = ENOMEM;
  return true;
}

}  // namespace

Spoilt::Spoilt(Calls calls) {
  calls_of_thread = std::move(calls);
}

Spoilt::~Spoilt() {
  calls_of_thread = {};
}

FailingAllocation::FailingAllocation(long number) {
  calls_of_thread = {};  // its first use takes memory
  allocations_left = number;
}

FailingAllocation::~FailingAllocation() {
  allocations_left = -1;
}

bool FailingAllocation::happened() {
  return allocations_left == 0;
}

}  // namespace cni::test

// The linker puts these in the place of the C library's (--wrap).
extern "C" void* __real_malloc(std::size_t size);
extern "C" void* __real_calloc(std::size_t count, std::size_t size);

extern "C" void* __wrap_malloc(std::size_t size) {
  return cni::test::is_to_fail() ? nullptr : __real_malloc(size);
}

extern "C" void* __wrap_calloc(std::size_t count, std::size_t size) {
  return cni::test::is_to_fail() ? nullptr : __real_calloc(count, size);
}

// These stand in front of the C library's.
extern "C" ssize_t recvfrom(int fd, void* buffer, size_t size, int flags, sockaddr* sender,
                            socklen_t* sender_size) {
  const auto really = [=] {
    return static_cast<ssize_t>(
        ::syscall(SYS_recvfrom, fd, buffer, size, flags, sender, sender_size));
  };
  const auto& receive = cni::test::calls_of_thread.receive;
  if (!receive) return really();
  return receive({really, static_cast<std::byte*>(buffer), size, flags,
                  reinterpret_cast<sockaddr_nl*>(sender)});
}

extern "C" ssize_t sendto(int fd, const void* buffer, size_t size, int flags,
                          const sockaddr* receiver, socklen_t receiver_size) {
  const auto& send = cni::test::calls_of_thread.send;
  if (const int failure = send ? send({{static_cast<const std::byte*>(buffer), size}}) : 0;
      failure != 0) {
    errno = failure;
    return -1;
  }
  return ::syscall(SYS_sendto, fd, buffer, size, flags, receiver, receiver_size);
}

extern "C" int setsockopt(int fd, int level, int option, const void* value,
                          socklen_t size) noexcept {
  const auto& set_option = cni::test::calls_of_thread.set_option;
  if (const int failure = set_option ? set_option({level, option}) : 0; failure != 0) {
    errno = failure;
    return -1;
  }
  return static_cast<int>(::syscall(SYS_setsockopt, fd, level, option, value, size));
}
