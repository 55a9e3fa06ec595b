// What the kernel says to one request, put together from the datagrams it comes in.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

namespace cni::netlink {

// One message of the kernel: what follows the nlmsghdr.
struct Answer {
  std::uint16_t type;
  std::vector<std::byte> payload;
};

// What became of a request. `error_number` is 0 or a positive errno.
struct Outcome {
  int error_number = 0;
  // The kernel's words (NLMSGERR_ATTR_MSG), valid UTF-8; often empty.
  std::string explanation = {};
  std::vector<Answer> answers = {};
};

using AnswerVisitor = std::function<void(const Answer& answer)>;

// How the kernel ends one of several messages that were sent together.
struct Acknowledgement {
  std::uint32_t sequence;
  int error_number;
  std::string explanation;
};

// The same for several messages with numbers of their own.
struct Together {
  // Acknowledgements, errors and ends of dumps, in the order in which they came.
  std::vector<Acknowledgement> ends = {};
  std::vector<Answer> answers = {};
  // Some of both are missing.
  bool lost = false;

  // Adds what one datagram says about the messages with numbers from `first` to `last`.
  void take(std::span<const std::byte> datagram, std::uint32_t first, std::uint32_t last);
};

struct Reply {
  // The first answer is the end, not an acknowledgement or NLMSG_DONE: a question for one object.
  bool single = false;
  // Gets the answers in place of `outcome`.
  const AnswerVisitor* visitor = nullptr;
  Outcome outcome = {};
  // The end has been seen.
  bool complete = false;
  // Answers are missing.
  bool lost = false;
  // The dump is no picture of one moment (NLM_F_DUMP_INTR).
  bool interrupted = false;

  // Adds what one datagram says about the request with this sequence number. Anything else in it,
  // and what does not fit its own length, is passed over.
  void take(std::span<const std::byte> datagram, std::uint32_t sequence);
};

}  // namespace cni::netlink
