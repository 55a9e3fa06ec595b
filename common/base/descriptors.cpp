#include "base/descriptors.h"

#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>

namespace cni {
namespace {

// From `first` to `last`, both included. Kernels before 5.9 have no close_range(2).
void close_between(unsigned int first, unsigned int last) {
  if (::syscall(SYS_close_range, first, last, 0U) == 0) return;
  rlimit limit{};
  ::getrlimit(RLIMIT_NOFILE, &limit);
  const auto end = std::min<rlim_t>(limit.rlim_cur, rlim_t{last} + 1);
  for (rlim_t fd = first; fd < end; ++fd) ::close(static_cast<int>(fd));
}

}  // namespace

void close_all_but(std::span<const int> needed) {
  unsigned int from = 0;
  for (const int fd : needed) {
    const auto number = static_cast<unsigned int>(fd);
    if (number > from) close_between(from, number - 1);
    from = number + 1;
  }
  close_between(from, ~0U);
}

}  // namespace cni
