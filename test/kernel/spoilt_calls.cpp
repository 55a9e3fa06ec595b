#include "kernel/spoilt_calls.h"

#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

namespace cni::test {
namespace {

thread_local Calls calls_of_thread;

}  // namespace

Spoilt::Spoilt(Calls calls) {
  calls_of_thread = std::move(calls);
}

Spoilt::~Spoilt() {
  calls_of_thread = {};
}

}  // namespace cni::test

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
