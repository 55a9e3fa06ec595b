#include "base/memory_reserve.h"

#include <cstddef>
#include <memory>
#include <new>

namespace cni::memory_reserve {
namespace {

// Several times what a plugin needs from an error to its end.
constexpr std::size_t kSize = 65536;

std::unique_ptr<std::byte[]> reserve;
bool used = false;

// A new_handler: to return is to have the allocation tried again.
void give_back() {
  if (used) throw std::bad_alloc();
  used = true;
  reserve.reset();
}

}  // namespace

void hold() {
  reserve.reset(new (std::nothrow) std::byte[kSize]);
  used = !reserve;
  std::set_new_handler(give_back);
}

void check() {
  if (used) throw std::bad_alloc();
}

}  // namespace cni::memory_reserve
