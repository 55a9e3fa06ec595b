#include "fuzz/fake_kernel.h"

#include <linux/netlink.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <functional>
#include <optional>

#include "fuzz/input.h"

namespace cni::fuzz {
namespace {

struct Conversation {
  Pieces datagrams;
  std::uint32_t first = 0;  // numbers of the messages of the last question
  std::uint32_t last = 0;
};

thread_local std::optional<Conversation> conversation;

// Calls `visit` with the header of each message, which it may change.
void for_each_header(std::string& datagram, const std::function<void(nlmsghdr&)>& visit) {
  std::size_t at = 0;
  while (at + sizeof(nlmsghdr) <= datagram.size()) {
    nlmsghdr header{};
    std::memcpy(&header, datagram.data() + at, sizeof header);
    visit(header);
    std::memcpy(datagram.data() + at, &header, sizeof header);
    if (header.nlmsg_len < sizeof header) return;
    if (header.nlmsg_len > datagram.size() - at) return;
    at += NLMSG_ALIGN(header.nlmsg_len);
  }
}

void take_question(std::string question) {
  bool is_first = true;
  for_each_header(question, [&](const nlmsghdr& header) {
    if (is_first) conversation->first = header.nlmsg_seq;
    conversation->last = header.nlmsg_seq;
    is_first = false;
  });
}

std::string acknowledgement(std::uint32_t sequence) {
  struct {
    nlmsghdr header;
    nlmsgerr error;
  } message{};
  message.header = {.nlmsg_len = sizeof message,
                    .nlmsg_type = NLMSG_ERROR,
                    .nlmsg_flags = 0,
                    .nlmsg_seq = sequence,
                    .nlmsg_pid = 0};
  return {reinterpret_cast<const char*>(&message), sizeof message};
}

std::string next_datagram() {
  std::string datagram;
  if (conversation->datagrams.empty()) {
    for (std::uint32_t sequence = conversation->first;; ++sequence) {
      datagram += acknowledgement(sequence);
      if (sequence == conversation->last) return datagram;
    }
  }
  datagram = conversation->datagrams.sized();
  for_each_header(datagram, [](nlmsghdr& header) { header.nlmsg_seq += conversation->first; });
  return datagram;
}

ssize_t receive(void* buffer, std::size_t size, sockaddr* sender) {
  const std::string datagram = next_datagram();
  std::memcpy(buffer, datagram.data(), std::min(size, datagram.size()));
  sockaddr_nl kernel{};
  kernel.nl_family = AF_NETLINK;
  std::memcpy(sender, &kernel, sizeof kernel);
  return static_cast<ssize_t>(datagram.size());
}

}  // namespace

FakeKernel::FakeKernel(std::string_view datagrams) {
  conversation = Conversation{.datagrams = Pieces(datagrams)};
}

FakeKernel::~FakeKernel() {
  conversation.reset();
}

}  // namespace cni::fuzz

// These stand in front of the C library's.
extern "C" ssize_t recvfrom(int fd, void* buffer, size_t size, int flags, sockaddr* sender,
                            socklen_t* sender_size) {
  if (cni::fuzz::conversation) return cni::fuzz::receive(buffer, size, sender);
  return static_cast<ssize_t>(
      ::syscall(SYS_recvfrom, fd, buffer, size, flags, sender, sender_size));
}

extern "C" ssize_t sendto(int fd, const void* buffer, size_t size, int flags,
                          const sockaddr* receiver, socklen_t receiver_size) {
  if (!cni::fuzz::conversation) {
    return ::syscall(SYS_sendto, fd, buffer, size, flags, receiver, receiver_size);
  }
  cni::fuzz::take_question({static_cast<const char*>(buffer), size});
  return static_cast<ssize_t>(size);
}

// Whatever part of the kernel it is for: this one may lack it.
extern "C" int socket(int domain, int type, int protocol) noexcept {
  const bool other = cni::fuzz::conversation && domain == AF_NETLINK;
  return static_cast<int>(::syscall(SYS_socket, domain, type, other ? NETLINK_ROUTE : protocol));
}

extern "C" int poll(pollfd* fds, nfds_t count, int timeout) {
  if (cni::fuzz::conversation && count == 0) return 0;
  return static_cast<int>(::syscall(SYS_poll, fds, count, timeout));
}
