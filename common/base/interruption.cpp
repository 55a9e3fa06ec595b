#include "base/interruption.h"

#include <fmt/format.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdint>
#include <cstring>

#include "base/unique_fd.h"

namespace cni::interruption {
namespace {

volatile std::sig_atomic_t signal_number = 0;
volatile std::sig_atomic_t event = -1;
int shields = 0;

void note(int number) {
  const int saved = errno;
  signal_number = number;
  const std::uint64_t one = 1;
  [[maybe_unused]] const ssize_t written = ::write(event, &one, sizeof one);
  errno = saved;
}

}  // namespace

void listen() {
  static const UniqueFd fd(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!fd) throw_errno("make an eventfd");
  event = fd.get();
  struct sigaction action{};
  action.sa_handler = note;  // no SA_RESTART: what waits looks up
  for (const int number : {SIGTERM, SIGINT}) ::sigaction(number, &action, nullptr);
}

bool requested() {
  return signal_number != 0 && shields == 0;
}

void check() {
  if (requested())
    throw Interrupted(fmt::format("interrupted by SIG{}", ::sigabbrev_np(signal_number)));
}

int fd() {
  return shields == 0 ? event : -1;
}

Shield::Shield() {
  ++shields;
}

Shield::~Shield() {
  --shields;
}

}  // namespace cni::interruption
