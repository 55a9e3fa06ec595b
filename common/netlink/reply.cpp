#include "netlink/reply.h"

#include <linux/netlink.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "base/text.h"
#include "netlink/message.h"

namespace cni::netlink {
namespace {

constexpr int kLargestErrno = 4095;  // MAX_ERRNO of the kernel

// What NLMSG_ERROR and NLMSG_DONE say: a negative errno, 0 for success.
struct Verdict {
  int error_number = 0;
  std::string explanation = {};
};

Verdict read_verdict(const nlmsghdr& header, std::span<const std::byte> payload) {
  const auto code = Attributes::read_header<int>(payload);
  // A dump that ends without a code ended well.
  if (!code) return {.error_number = header.nlmsg_type == NLMSG_DONE ? 0 : EPROTO};
  if (*code > 0 || *code < -kLargestErrno) return {.error_number = EPROTO};
  Verdict verdict{.error_number = -*code};
  if ((header.nlmsg_flags & NLM_F_ACK_TLVS) == 0) return verdict;

  std::size_t before = sizeof(int);
  if (header.nlmsg_type == NLMSG_ERROR) {
    before = sizeof(nlmsgerr);
    const auto error = Attributes::read_header<nlmsgerr>(payload);
    // The refused request is repeated here unless the kernel says that it is not.
    if (error && (header.nlmsg_flags & NLM_F_CAPPED) == 0 && error->msg.nlmsg_len > NLMSG_HDRLEN) {
      before += NLMSG_ALIGN(error->msg.nlmsg_len) - NLMSG_HDRLEN;
    }
  }
  const Attributes attributes = Attributes::after_header(payload, before);
  verdict.explanation = valid_utf8(attributes.text(NLMSGERR_ATTR_MSG));
  return verdict;
}

// Visits the messages of a datagram; nothing that does not fit its own length.
template <typename Visit>
void for_each_message(std::span<const std::byte> datagram, const Visit& visit) {
  while (const auto header = Attributes::read_header<nlmsghdr>(datagram)) {
    if (header->nlmsg_len < NLMSG_HDRLEN || header->nlmsg_len > datagram.size()) return;
    if (!visit(*header, datagram.subspan(NLMSG_HDRLEN, header->nlmsg_len - NLMSG_HDRLEN))) return;
    datagram =
        datagram.subspan(std::min<std::size_t>(NLMSG_ALIGN(header->nlmsg_len), datagram.size()));
  }
}

}  // namespace

void Together::take(std::span<const std::byte> datagram, std::uint32_t first, std::uint32_t last) {
  for_each_message(datagram, [&](const nlmsghdr& header, std::span<const std::byte> payload) {
    if (header.nlmsg_seq < first || header.nlmsg_seq > last) return true;
    switch (header.nlmsg_type) {
      case NLMSG_NOOP:
        break;
      case NLMSG_OVERRUN:
        lost = true;
        break;
      case NLMSG_ERROR:
      case NLMSG_DONE: {
        Verdict verdict = read_verdict(header, payload);
        ends.push_back({.sequence = header.nlmsg_seq,
                        .error_number = verdict.error_number,
                        .explanation = std::move(verdict.explanation)});
        break;
      }
      default:
        answers.push_back({header.nlmsg_type, {payload.begin(), payload.end()}});
    }
    return true;
  });
}

void Reply::take(std::span<const std::byte> datagram, std::uint32_t sequence) {
  for_each_message(datagram, [&](const nlmsghdr& header, std::span<const std::byte> payload) {
    if (header.nlmsg_seq != sequence) return true;  // belongs to an attempt that was given up

    if ((header.nlmsg_flags & NLM_F_DUMP_INTR) != 0) interrupted = true;
    switch (header.nlmsg_type) {
      case NLMSG_NOOP:
        break;
      case NLMSG_OVERRUN:
        lost = true;
        break;
      case NLMSG_ERROR:
      case NLMSG_DONE: {
        Verdict verdict = read_verdict(header, payload);
        outcome.error_number = verdict.error_number;
        outcome.explanation = std::move(verdict.explanation);
        complete = true;
        return false;
      }
      default: {
        Answer answer{header.nlmsg_type, {payload.begin(), payload.end()}};
        if (visitor != nullptr) {
          (*visitor)(answer);
        } else {
          outcome.answers.push_back(std::move(answer));
        }
        if (single) {
          complete = true;
          return false;
        }
      }
    }
    return true;
  });
}

}  // namespace cni::netlink
