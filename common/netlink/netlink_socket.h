// A connection to one kernel network namespace: to its routing part (rtnetlink(7)), to netfilter,
// or to what lists its sockets (sock_diag(7)).
//
// A socket is opened once, inside the namespace, and stays there; the first argument of every
// function in this folder then says where it happens.
//
// This file is not called socket.h because libnl's headers include a <netlink/socket.h> of theirs.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <initializer_list>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/error.h"
#include "netlink/reply.h"
#include "netns/netns.h"

struct nl_sock;

namespace cni::netlink {

class Message;

// The kernel refused a request. what() reads "<attempt>: <errno text>", followed by the kernel's
// own explanation in parentheses if it gave one (NLMSGERR_ATTR_MSG).
class KernelError : public SystemError {
 public:
  KernelError(int error_number, const std::string& attempt, const std::string& explanation = {});

  // For a case that people know by other words than the errno text.
  static KernelError in_words(int error_number, const std::string& attempt,
                              const std::string& words) {
    return {Words{}, error_number, attempt, words};
  }

 private:
  struct Words {};
  KernelError(Words, int error_number, const std::string& attempt, const std::string& words)
      : SystemError(error_number, attempt, words) {}
};

enum class Protocol { kRoute, kNetfilter, kSockets };

class Socket {
 public:
  // In the namespace of this thread. Throws SystemError.
  static Socket here(Protocol protocol = Protocol::kRoute);
  static Socket in(const netns::Netns& netns);

  // Sends a request and takes all answers to it, of a dump too. Throws KernelError if the kernel
  // refuses. `attempt` names the object, for example `set link "eth0" up`.
  std::vector<Answer> request(Message& message, const std::string& attempt);

  // The same for a change that may be refused with one of these errnos, and then returns false, at
  // once.
  bool try_change(Message& message, const std::string& attempt,
                  std::initializer_list<int> refusals);

  // The same, with every refusal as an answer.
  //
  // All of them repeat what may work a little later: an interrupted system call; EBUSY, EAGAIN,
  // ENOBUFS and the like with growing pauses for 5 s in all; a dump that changed while it was read
  // (NLM_F_DUMP_INTR), 10 times. After that they throw Busy. They throw Busy as well if a lost
  // answer leaves open whether this process or another one made what now exists.
  Outcome exchange(Message& message, const std::string& attempt);

  // The same for a list that may be too long to hold: `visitor` gets each answer as it arrives, and
  // once more if the list is read again.
  Outcome visit(Message& message, const std::string& attempt, const AnswerVisitor& visitor);

  // For messages that travel together: `count` numbers that nothing else on this socket has had,
  // beginning with the one returned.
  std::uint32_t reserve_sequence(std::size_t count);
  // Any number of whole messages in one piece, with the same patience if it cannot be sent. Throws
  // KernelError and Busy.
  void send(std::span<const std::byte> messages, const std::string& attempt);
  // What the kernel says to the messages with the numbers from `first` to `last`, until `complete`
  // is content with it, or until answers were lost and no more are there.
  Together receive(std::uint32_t first, std::uint32_t last,
                   const std::function<bool(const Together&)>& complete,
                   const std::string& attempt);

  // For poll(2), and for what belongs to a socket only, such as multicast groups.
  int fd() const;

 private:
  struct Close {
    Protocol protocol;
    void operator()(nl_sock* socket) const;
  };

  explicit Socket(std::unique_ptr<nl_sock, Close> socket);
  Outcome exchange(Message& message, const std::string& attempt,
                   std::initializer_list<int> refusals, const AnswerVisitor* visitor);
  // Takes the kernel's datagrams until `take` has all it wants. False if some were lost, or cut off
  // because they are longer than the buffer, and the rest that is there has been taken.
  using DatagramReader = std::function<bool(std::span<const std::byte> datagram)>;
  bool read_datagrams(const DatagramReader& take, const std::string& attempt);
  Reply exchange_once(Message& message, const std::string& attempt, const AnswerVisitor* visitor);

  std::unique_ptr<nl_sock, Close> socket_;
  // Its pages are touched as far as they are needed only.
  std::unique_ptr<std::byte[]> buffer_;
  std::size_t buffer_size_;
  std::uint32_t sequence_ = 0;
};

}  // namespace cni::netlink
