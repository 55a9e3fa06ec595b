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

// Signs of trouble among the messages of a datagram.
struct Trouble {
  bool lost = false;
  bool interrupted = false;
};

// Visits the messages of a datagram with numbers from `first` to `last`, until one of the functions
// returns false. Nothing that does not fit its own length is visited.
template <typename TakeEnd, typename TakeAnswer>
Trouble read_messages(std::span<const std::byte> datagram, std::uint32_t first, std::uint32_t last,
                      const TakeEnd& take_end, const TakeAnswer& take_answer) {
  Trouble trouble;
  for (bool more = true; more;) {
    const auto header = Attributes::read_header<nlmsghdr>(datagram);
    if (!header || header->nlmsg_len < NLMSG_HDRLEN || header->nlmsg_len > datagram.size()) break;
    const auto payload = datagram.subspan(NLMSG_HDRLEN, header->nlmsg_len - NLMSG_HDRLEN);
    datagram =
        datagram.subspan(std::min<std::size_t>(NLMSG_ALIGN(header->nlmsg_len), datagram.size()));
    // Others belong to an attempt that was given up.
    if (header->nlmsg_seq < first || header->nlmsg_seq > last) continue;
    if ((header->nlmsg_flags & NLM_F_DUMP_INTR) != 0) trouble.interrupted = true;
    switch (header->nlmsg_type) {
      case NLMSG_NOOP:
        break;
      case NLMSG_OVERRUN:
        trouble.lost = true;
        break;
      case NLMSG_ERROR:
      case NLMSG_DONE:
        more = take_end(header->nlmsg_seq, read_verdict(*header, payload));
        break;
      default:
        more = take_answer(Answer{header->nlmsg_type, {payload.begin(), payload.end()}});
    }
  }
  return trouble;
}

}  // namespace

void Together::take(std::span<const std::byte> datagram, std::uint32_t first, std::uint32_t last) {
  const auto take_end = [&](std::uint32_t sequence, Verdict verdict) {
    ends.push_back({.sequence = sequence,
                    .error_number = verdict.error_number,
                    .explanation = std::move(verdict.explanation)});
    return true;
  };
  const auto take_answer = [&](Answer answer) {
    answers.push_back(std::move(answer));
    return true;
  };
  const Trouble trouble = read_messages(datagram, first, last, take_end, take_answer);
  lost = lost || trouble.lost;
}

void Reply::take(std::span<const std::byte> datagram, std::uint32_t sequence) {
  const auto take_end = [&](std::uint32_t /*sequence*/, Verdict verdict) {
    outcome.error_number = verdict.error_number;
    outcome.explanation = std::move(verdict.explanation);
    complete = true;
    return false;
  };
  const auto take_answer = [&](Answer answer) {
    if (visitor != nullptr) {
      (*visitor)(answer);
    } else {
      outcome.answers.push_back(std::move(answer));
    }
    complete = complete || single;
    return !single;
  };
  const Trouble trouble = read_messages(datagram, sequence, sequence, take_end, take_answer);
  lost = lost || trouble.lost;
  interrupted = interrupted || trouble.interrupted;
}

}  // namespace cni::netlink
