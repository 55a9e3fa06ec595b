// System calls of this process that go wrong, or whose outcome a test wants to see or change.
#pragma once

#include <linux/netlink.h>
#include <sys/types.h>

#include <cstddef>
#include <functional>
#include <span>

namespace cni::test {

// One receive of this thread.
struct Receive {
  std::function<ssize_t()> really;
  std::byte* buffer;
  std::size_t size;
  int flags;
  sockaddr_nl* sender;
};

// One send of this thread.
struct Send {
  std::span<const std::byte> bytes;
};

// One option that this thread sets on a socket.
struct Option {
  int level;
  int name;
};

// What happens to calls of this thread while it lives, in place of the real ones. What is empty is
// as always.
struct Calls {
  std::function<ssize_t(const Receive&)> receive = nullptr;
  // These return an errno, or 0 to go on.
  std::function<int(const Send&)> send = nullptr;
  std::function<int(const Option&)> set_option = nullptr;
};

class Spoilt {
 public:
  explicit Spoilt(Calls calls);
  explicit Spoilt(std::function<ssize_t(const Receive&)> receive,
                  std::function<int(const Send&)> send = nullptr)
      : Spoilt(Calls{.receive = std::move(receive), .send = std::move(send)}) {}
  Spoilt(const Spoilt&) = delete;
  Spoilt& operator=(const Spoilt&) = delete;
  ~Spoilt();
};

// While it lives, the allocation `number` of this thread by malloc(3) or calloc(3) fails, counted
// from 1; those of libraries that are linked in count.
class FailingAllocation {
 public:
  explicit FailingAllocation(long number);
  FailingAllocation(const FailingAllocation&) = delete;
  FailingAllocation& operator=(const FailingAllocation&) = delete;
  ~FailingAllocation();
  // Whether it has failed.
  static bool happened();
};

}  // namespace cni::test
