// A kernel that says to netlink sockets what the input says.
#pragma once

#include <string>
#include <string_view>

namespace cni::fuzz {

// While it lives, nothing that this thread sends to a socket arrives, and what it receives are the
// pieces of `datagrams` (Pieces::sized), one at a time. The number of a message in them counts from
// that of the last question, so that captured answers have 0. When there are no more, every
// question ends without an error. Pauses take no time.
class FakeKernel {
 public:
  explicit FakeKernel(std::string_view datagrams);
  FakeKernel(const FakeKernel&) = delete;
  FakeKernel& operator=(const FakeKernel&) = delete;
  ~FakeKernel();
};

}  // namespace cni::fuzz
