#include "netlink/link_watch.h"

#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <poll.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>

#include "base/interruption.h"

namespace cni::netlink {

LinkWatch LinkWatch::here() {
  return LinkWatch(Socket::here());
}
LinkWatch LinkWatch::in(const netns::Netns& netns) {
  return LinkWatch(Socket::in(netns));
}

LinkWatch::LinkWatch(Socket socket) : socket_(std::move(socket)) {
  for (const int group : {RTNLGRP_LINK, RTNLGRP_IPV4_IFADDR, RTNLGRP_IPV6_IFADDR}) {
    if (::setsockopt(socket_.fd(), SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, &group, sizeof group) !=
        0) {
      throw_errno("subscribe to changes of links");
    }
  }
}

bool LinkWatch::wait_until(const std::function<bool()>& reached, const Deadline& deadline) {
  for (;;) {
    // What is taken here happened before the question, so its answer covers it.
    drain();
    if (reached()) return true;
    interruption::check();
    std::array<pollfd, 2> events = {{{.fd = socket_.fd(), .events = POLLIN, .revents = 0},
                                     {.fd = interruption::fd(), .events = POLLIN, .revents = 0}}};
    const int count = ::poll(events.data(), events.size(), deadline.poll_timeout_ms());
    if (count == 0 || deadline.passed()) return reached();
    if (count < 0 && errno != EINTR) throw_errno("wait for changes of links");
  }
}

void LinkWatch::drain() {
  // The content does not matter, nor does a part that is cut off.
  std::array<char, 64> buffer{};
  for (;;) {
    if (::recv(socket_.fd(), buffer.data(), buffer.size(), MSG_DONTWAIT) >= 0) continue;
    // ENOBUFS: there were more changes than the socket can hold. That something changed is all
    // there is to know.
    if (errno == EINTR || errno == ENOBUFS) continue;
    if (errno == EAGAIN) return;
    throw_errno("read changes of links");
  }
}

}  // namespace cni::netlink
