#include "netlink/netlink_socket.h"

#include <fmt/format.h>
#include <linux/netlink.h>
#include <netlink/netlink.h>
#include <netlink/socket.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/time.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <new>
#include <span>

#include "base/deadline.h"
#include "base/grace_period.h"
#include "netlink/message.h"

namespace cni::netlink {
namespace {

// Larger than what the kernel puts into one message of a dump (32 KiB).
constexpr std::size_t kBufferSize = 65536;
// More than the kernel keeps back of a socket's buffer.
constexpr int kSendOverhead = 4096;
constexpr int kDumpAttempts = 10;
constexpr std::chrono::milliseconds kPatience{5000};
constexpr int kFirstPauseMs = 5;
constexpr int kLongestPauseMs = 320;

bool worth_repeating(int error_number) {
  return error_number == EBUSY || error_number == EAGAIN || error_number == ENOBUFS ||
         error_number == EINTR || error_number == ERESTART;
}

// For what may work a little later: pauses that grow, for kPatience in all.
class Patience {
 public:
  // Throws Busy when it is over.
  void pause(int error_number, const std::string& attempt, const std::string& explanation = "") {
    if (deadline_.passed()) throw Busy(KernelError(error_number, attempt, explanation).what());
    ::poll(nullptr, 0, std::min(pause_, deadline_.poll_timeout_ms()));
    pause_ = std::min(pause_ * 2, kLongestPauseMs);
  }

 private:
  Deadline deadline_ = Deadline::in(kPatience);
  int pause_ = kFirstPauseMs;
};

int number_of(Protocol protocol) {
  switch (protocol) {
    case Protocol::kRoute:
      return NETLINK_ROUTE;
    case Protocol::kNetfilter:
      return NETLINK_NETFILTER;
    case Protocol::kSockets:
      return NETLINK_SOCK_DIAG;
  }
  return -1;
}

}  // namespace

KernelError::KernelError(int error_number, const std::string& attempt,
                         const std::string& explanation)
    : SystemError(error_number, attempt,
                  explanation.empty()
                      ? errno_text(error_number)
                      : fmt::format("{} ({})", errno_text(error_number), explanation)) {}

void Socket::Close::operator()(nl_sock* socket) const {
  if (protocol == Protocol::kNetfilter) grace_period::close_later(::nl_socket_get_fd(socket));
  ::nl_socket_free(socket);
}

Socket::Socket(std::unique_ptr<nl_sock, Close> socket)
    : socket_(std::move(socket)),
      buffer_(std::make_unique_for_overwrite<std::byte[]>(kBufferSize)),
      buffer_size_(kBufferSize) {}

Socket Socket::here(Protocol protocol) {
  std::unique_ptr<nl_sock, Close> socket(::nl_socket_alloc(), Close{.protocol = protocol});
  if (!socket) throw std::bad_alloc();
  // libnl would take the process ID, which is not unique where PID namespaces share a network.
  ::nl_socket_set_local_port(socket.get(), 0);
  errno = 0;
  if (const int failure = ::nl_connect(socket.get(), number_of(protocol)); failure < 0) {
    throw SystemError(errno != 0 ? errno : EPROTO, "open netlink socket");
  }

  // Kernels before 4.12 (extended answers) and 4.20 (strict checks) do without: messages are then
  // shorter, and filters are applied on our side only.
  const int fd = ::nl_socket_get_fd(socket.get());
  constexpr int kOn = 1;
  for (const int option : {NETLINK_EXT_ACK, NETLINK_CAP_ACK, NETLINK_GET_STRICT_CHK}) {
    static_cast<void>(::setsockopt(fd, SOL_NETLINK, option, &kOn, sizeof kOn));
  }
  // The kernel answers before send returns, so to wait at all means that the answer is lost.
  const timeval patience{.tv_sec = kPatience.count() / 1000, .tv_usec = 0};
  if (::setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience) != 0) {
    throw_errno("limit the wait of a netlink socket");
  }
  return Socket(std::move(socket));
}

Socket Socket::in(const netns::Netns& netns) {
  const netns::Scope scope(netns);
  return here();
}

int Socket::fd() const {
  return ::nl_socket_get_fd(socket_.get());
}

std::vector<Answer> Socket::request(Message& message, const std::string& attempt) {
  Outcome outcome = exchange(message, attempt);
  if (outcome.error_number != 0) {
    throw KernelError(outcome.error_number, attempt, outcome.explanation);
  }
  return std::move(outcome.answers);
}

bool Socket::try_change(Message& message, const std::string& attempt,
                        std::initializer_list<int> refusals) {
  const Outcome outcome = exchange(message, attempt, refusals, nullptr);
  if (outcome.error_number == 0) return true;
  if (std::ranges::find(refusals, outcome.error_number) != refusals.end()) return false;
  throw KernelError(outcome.error_number, attempt, outcome.explanation);
}

Outcome Socket::exchange(Message& message, const std::string& attempt) {
  return exchange(message, attempt, {}, nullptr);
}

Outcome Socket::visit(Message& message, const std::string& attempt, const AnswerVisitor& visitor) {
  return exchange(message, attempt, {}, &visitor);
}

Outcome Socket::exchange(Message& message, const std::string& attempt,
                         std::initializer_list<int> refusals, const AnswerVisitor* visitor) {
  if (!message.is_question()) message.header()->nlmsg_flags |= NLM_F_ACK;

  Patience patience;
  int interruptions = 0;
  bool answer_was_lost = false;
  for (;;) {
    Reply reply = exchange_once(message, attempt, visitor);
    if (reply.interrupted) {
      if (++interruptions == kDumpAttempts) {
        throw Busy(fmt::format("{}: the answer changed while it was read", attempt));
      }
      continue;
    }
    const int error_number = reply.lost ? ENOBUFS : reply.outcome.error_number;
    const bool is_final =
        !reply.lost && std::ranges::find(refusals, error_number) != refusals.end();
    if (is_final || !worth_repeating(error_number)) {
      if (answer_was_lost && error_number == EEXIST) {
        throw Busy(fmt::format("{}: the kernel's first answer was lost", attempt));
      }
      return std::move(reply.outcome);
    }
    answer_was_lost = answer_was_lost || reply.lost;
    patience.pause(error_number, attempt, reply.outcome.explanation);
  }
}

std::uint32_t Socket::reserve_sequence(std::size_t count) {
  const std::uint32_t first = sequence_ + 1;
  sequence_ += static_cast<std::uint32_t>(count);
  return first;
}

void Socket::send(std::span<const std::byte> messages, const std::string& attempt) {
  // The kernel takes what its buffer for the socket holds; by default that is some 200 KiB.
  int present = 0;
  socklen_t size = sizeof present;
  const auto needed = static_cast<int>(messages.size()) + kSendOverhead;
  if (::getsockopt(fd(), SOL_SOCKET, SO_SNDBUF, &present, &size) == 0 && present < needed &&
      ::setsockopt(fd(), SOL_SOCKET, SO_SNDBUFFORCE, &needed, sizeof needed) != 0) {
    // Without the capability in the first user namespace.
    static_cast<void>(::setsockopt(fd(), SOL_SOCKET, SO_SNDBUF, &needed, sizeof needed));
  }
  sockaddr_nl kernel{};
  kernel.nl_family = AF_NETLINK;
  Patience patience;
  while (::sendto(fd(), messages.data(), messages.size(), 0, reinterpret_cast<sockaddr*>(&kernel),
                  sizeof kernel) < 0) {
    if (!worth_repeating(errno)) throw KernelError(errno, attempt);
    patience.pause(errno, attempt);
  }
}

bool Socket::read_datagrams(const DatagramReader& take, const std::string& attempt) {
  bool lost = false;
  int flags = MSG_TRUNC;  // tell the true length even if the buffer is too small
  for (;;) {
    sockaddr_nl sender{};
    socklen_t sender_size = sizeof sender;
    const ssize_t size = ::recvfrom(fd(), buffer_.get(), buffer_size_, flags,
                                    reinterpret_cast<sockaddr*>(&sender), &sender_size);
    if (size < 0 && errno == EINTR) continue;
    if (size < 0 && errno == ENOBUFS) {
      // The kernel had to drop an answer. Take what did arrive, lest it disturb the next attempt.
      lost = true;
      flags |= MSG_DONTWAIT;
      continue;
    }
    if (size < 0 && errno == EAGAIN) return false;
    if (size < 0) throw KernelError(errno, attempt);
    const auto length = static_cast<std::size_t>(size);
    if (sender.nl_pid != 0) continue;  // not from the kernel
    const bool is_whole = length <= buffer_size_;
    const bool complete = take(std::span(buffer_.get(), std::min(length, buffer_size_)));
    if (!is_whole) {
      lost = true;
      flags |= MSG_DONTWAIT;
      buffer_ = std::make_unique_for_overwrite<std::byte[]>(length);
      buffer_size_ = length;
    }
    if (complete) return !lost;
  }
}

Together Socket::receive(std::uint32_t first, std::uint32_t last,
                         const std::function<bool(const Together&)>& complete,
                         const std::string& attempt) {
  Together together;
  const bool all_came = read_datagrams(
      [&](std::span<const std::byte> datagram) {
        together.take(datagram, first, last);
        return complete(together);
      },
      attempt);
  together.lost = together.lost || !all_came;
  return together;
}

Reply Socket::exchange_once(Message& message, const std::string& attempt,
                            const AnswerVisitor* visitor) {
  nlmsghdr* request = message.header();
  request->nlmsg_seq = ++sequence_;
  request->nlmsg_pid = 0;  // the kernel fills in the port of the socket

  Reply reply{.single = message.is_question() && !message.is_dump(), .visitor = visitor};
  sockaddr_nl kernel{};
  kernel.nl_family = AF_NETLINK;
  if (::sendto(fd(), request, request->nlmsg_len, 0, reinterpret_cast<sockaddr*>(&kernel),
               sizeof kernel) < 0) {
    if (!worth_repeating(errno)) throw KernelError(errno, attempt);
    reply.outcome.error_number = errno;
    return reply;
  }
  const bool all_came = read_datagrams(
      [&](std::span<const std::byte> datagram) {
        reply.take(datagram, sequence_);
        return reply.complete;
      },
      attempt);
  reply.lost = reply.lost || !all_came;
  return reply;
}

}  // namespace cni::netlink
