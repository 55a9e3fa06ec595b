#include "netlink/link_deletion.h"

#include <sys/wait.h>
#include <unistd.h>

#include <chrono>

#include "base/deadline.h"
#include "base/grace_period.h"
#include "base/interruption.h"
#include "netlink/link.h"
#include "netlink/link_watch.h"

namespace cni::netlink {
namespace {

// How often to look whether the child has ended without having deleted the link.
constexpr std::chrono::milliseconds kChildPause{10};

bool has_ended(pid_t child) {
  return ::waitpid(child, nullptr, WNOHANG) != 0;
}

}  // namespace

void delete_link_promptly(Socket& socket, int index) {
  const interruption::Shield shield;  // what has begun ends
  LinkWatch watch = LinkWatch::here();
  Socket request = Socket::here();
  const auto child =
      grace_period::leave(request.fd(), [&] { delete_link_if_exists(request, index); });
  const auto is_gone = [&] { return !find_link(socket, index); };
  bool ended = !child;
  while (!ended) {
    if (watch.wait_until(is_gone, Deadline::in(kChildPause))) return;
    ended = has_ended(*child);
  }
  // There was no child, or what it met is for us to see.
  delete_link_if_exists(socket, index);
}

}  // namespace cni::netlink
