// Lets user-mode-linux 6.1 run on processors with AMX; preloaded into linux.uml.
//
// UML keeps 2696 bytes of processor state per process, which end after PKRU
// (arch/x86/um/user-offsets.c). The kernel takes a state back only in its full size
// (xstateregs_set() in arch/x86/kernel/fpu/regset.c) and answers EFAULT: UML then kills init. Here
// the state is made up to the full size; what was cut off is left in its initial configuration,
// and its bits in XSTATE_BV (Intel SDM, volume 1, section 13.4.2) are cleared.
#include <dlfcn.h>
#include <elf.h>
#include <sys/ptrace.h>
#include <sys/types.h>
#include <sys/uio.h>

#include <array>
#include <cstdarg>
#include <cstdint>
#include <cstring>

namespace {

constexpr std::size_t kXstateBv = 512;
constexpr std::uint64_t kUpToPkru = 0x3ff;

using Ptrace = long (*)(__ptrace_request, pid_t, void*, void*);

}  // namespace

extern "C" __attribute__((visibility("default"))) long ptrace(__ptrace_request request, ...) {
  va_list arguments;
  va_start(arguments, request);
  const pid_t pid = va_arg(arguments, pid_t);
  void* address = va_arg(arguments, void*);
  void* data = va_arg(arguments, void*);
  va_end(arguments);

  static const auto real = reinterpret_cast<Ptrace>(::dlsym(RTLD_NEXT, "ptrace"));
  if (request != PTRACE_SETREGSET ||
      reinterpret_cast<std::uintptr_t>(address) != std::uintptr_t{NT_X86_XSTATE}) {
    return real(request, pid, address, data);
  }
  const auto* given = static_cast<const iovec*>(data);
  static std::array<char, 65536> state;
  iovec full{.iov_base = state.data(), .iov_len = state.size()};
  if (real(PTRACE_GETREGSET, pid, address, &full) < 0) return -1;
  if (full.iov_len <= given->iov_len) return real(request, pid, address, data);
  state.fill(0);
  std::memcpy(state.data(), given->iov_base, given->iov_len);
  std::uint64_t present = 0;
  std::memcpy(&present, state.data() + kXstateBv, sizeof present);
  present &= kUpToPkru;
  std::memcpy(state.data() + kXstateBv, &present, sizeof present);
  return real(request, pid, address, &full);
}
