// Waiting for something that the kernel announces, without sleeping.
#pragma once

#include <functional>

#include "base/deadline.h"
#include "netlink/netlink_socket.h"
#include "netns/netns.h"

namespace cni::netlink {

// Hears of every change of a link and of an address in one namespace, from its construction
// on. So make it before the change to wait for, then nothing is missed.
class LinkWatch {
 public:
  // In the namespace of this thread. Throws SystemError.
  static LinkWatch here();
  static LinkWatch in(const netns::Netns& netns);

  // Asks `reached` at once, after every change and at the end. Returns its last answer: false if
  // the time was not enough. `reached` uses a socket of its own.
  bool wait_until(const std::function<bool()>& reached, const Deadline& deadline);

 private:
  explicit LinkWatch(Socket socket);
  // Takes all that has come so far.
  void drain();

  Socket socket_;
};

}  // namespace cni::netlink
