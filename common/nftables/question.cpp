#include "nftables/question.h"

#include <linux/netfilter/nfnetlink.h>
#include <linux/netlink.h>

#include <cerrno>
#include <utility>

namespace cni::nftables {
namespace {

void require_answered(int error_number, const std::string& attempt,
                      const std::string& explanation) {
  if (error_number == 0 || error_number == ENOENT) return;
  throw netlink::KernelError(error_number, attempt, explanation);
}

}  // namespace

netlink::Message question(std::uint8_t message, Family family, std::uint16_t flags) {
  return {netlink::Message::Netfilter{.subsystem = NFNL_SUBSYS_NFTABLES,
                                      .message = message,
                                      .family = static_cast<std::uint8_t>(family),
                                      .question = true},
          flags};
}

std::vector<netlink::Answer> ask(netlink::Socket& socket, netlink::Message& message,
                                 const std::string& attempt) {
  netlink::Outcome outcome = socket.exchange(message, attempt);
  require_answered(outcome.error_number, attempt, outcome.explanation);
  return std::move(outcome.answers);
}

void require_answered(std::span<const netlink::Acknowledgement> ends, const std::string& attempt) {
  for (const netlink::Acknowledgement& end : ends) {
    require_answered(end.error_number, attempt, end.explanation);
  }
}

void append(std::vector<std::byte>& buffer, const netlink::Message& message, std::uint32_t sequence,
            std::uint16_t flags) {
  const auto* bytes = reinterpret_cast<const std::byte*>(message.header());
  const std::size_t at = buffer.size();
  buffer.insert(buffer.end(), bytes, bytes + NLMSG_ALIGN(message.header()->nlmsg_len));
  auto* header = reinterpret_cast<nlmsghdr*>(buffer.data() + at);
  header->nlmsg_seq = sequence;
  header->nlmsg_pid = 0;  // the kernel fills in the port of the socket
  header->nlmsg_flags |= flags;
}

}  // namespace cni::nftables
