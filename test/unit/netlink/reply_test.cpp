#include "netlink/reply.h"

#include <linux/netlink.h>
#include <linux/rtnetlink.h>

#include <catch2/catch.hpp>
#include <cerrno>
#include <climits>
#include <cstring>
#include <string>
#include <vector>

using cni::netlink::Reply;

namespace {

constexpr std::uint32_t kSequence = 5;

using Bytes = std::vector<std::byte>;

template <typename Value>
Bytes bytes_of(const Value& value) {
  Bytes bytes(sizeof value);
  std::memcpy(bytes.data(), &value, sizeof value);
  return bytes;
}

Bytes operator+(Bytes one, const Bytes& other) {
  one.insert(one.end(), other.begin(), other.end());
  return one;
}

Bytes message(int type, const Bytes& payload, int flags = 0, std::uint32_t sequence = kSequence) {
  nlmsghdr header{};
  header.nlmsg_len = static_cast<std::uint32_t>(NLMSG_HDRLEN + payload.size());
  header.nlmsg_type = static_cast<std::uint16_t>(type);
  header.nlmsg_flags = static_cast<std::uint16_t>(flags);
  header.nlmsg_seq = sequence;
  Bytes bytes = bytes_of(header) + payload;
  bytes.resize(NLMSG_ALIGN(bytes.size()));
  return bytes;
}

Bytes explanation(const std::string& text) {
  nlattr head{};
  head.nla_len = static_cast<std::uint16_t>(NLA_HDRLEN + text.size() + 1);
  head.nla_type = NLMSGERR_ATTR_MSG;
  Bytes bytes = bytes_of(head);
  for (const char byte : text) bytes.push_back(static_cast<std::byte>(byte));
  bytes.push_back(std::byte{0});
  return bytes;
}

// The kernel's answer to a request of `request_size` bytes.
Bytes error_payload(int code, std::size_t request_size = NLMSG_HDRLEN) {
  nlmsgerr error{};
  error.error = code;
  error.msg.nlmsg_len = static_cast<std::uint32_t>(request_size);
  return bytes_of(error);
}

Reply take(const Bytes& datagram) {
  Reply reply;
  reply.take(datagram, kSequence);
  return reply;
}

}  // namespace

TEST_CASE("answers are collected until the end", "[netlink]") {
  Reply reply;
  reply.take(message(RTM_NEWLINK, Bytes(3, std::byte{1}), NLM_F_MULTI) + message(NLMSG_NOOP, {}) +
                 message(RTM_NEWLINK, Bytes(8, std::byte{2})),
             kSequence);
  CHECK_FALSE(reply.complete);
  reply.take(message(NLMSG_DONE, bytes_of(0), NLM_F_MULTI), kSequence);
  CHECK(reply.complete);
  CHECK(reply.outcome.error_number == 0);
  REQUIRE(reply.outcome.answers.size() == 2);
  CHECK(reply.outcome.answers[0].payload == Bytes(3, std::byte{1}));
  CHECK(reply.outcome.answers[1].payload == Bytes(8, std::byte{2}));
  CHECK_FALSE(reply.interrupted);
  CHECK_FALSE(reply.lost);
}

TEST_CASE("a question for one object ends with its answer or a refusal", "[netlink]") {
  Reply found{.single = true};
  found.take(message(RTM_NEWLINK, Bytes(4)), kSequence);
  CHECK(found.complete);
  CHECK(found.outcome.answers.size() == 1);
  Reply refused{.single = true};
  refused.take(message(NLMSG_ERROR, error_payload(-ENODEV)), kSequence);
  CHECK(refused.complete);
  CHECK(refused.outcome.error_number == ENODEV);
}

TEST_CASE("answers to another request are passed over", "[netlink]") {
  const Reply reply = take(message(RTM_NEWLINK, {}, 0, kSequence - 1) +
                           message(NLMSG_DONE, bytes_of(-EPERM), NLM_F_DUMP_INTR, kSequence - 1));
  CHECK_FALSE(reply.complete);
  CHECK_FALSE(reply.interrupted);
  CHECK(reply.outcome.answers.empty());
}

TEST_CASE("an interrupted dump is known by any of its messages", "[netlink]") {
  CHECK(take(message(RTM_NEWLINK, {}, NLM_F_MULTI | NLM_F_DUMP_INTR)).interrupted);
  CHECK(take(message(NLMSG_DONE, bytes_of(0), NLM_F_MULTI | NLM_F_DUMP_INTR)).interrupted);
}

TEST_CASE("an overrun is a lost answer", "[netlink]") {
  CHECK(take(message(NLMSG_OVERRUN, {})).lost);
}

TEST_CASE("a refusal has a number and the kernel's words", "[netlink]") {
  const Reply plain = take(message(NLMSG_ERROR, error_payload(-EPERM)));
  CHECK(plain.complete);
  CHECK(plain.outcome.error_number == EPERM);
  CHECK(plain.outcome.explanation.empty());

  const Reply capped = take(message(NLMSG_ERROR, error_payload(-EINVAL, 100) + explanation("why"),
                                    NLM_F_CAPPED | NLM_F_ACK_TLVS));
  CHECK(capped.outcome.explanation == "why");

  const Reply whole = take(message(
      NLMSG_ERROR, error_payload(-EINVAL, NLMSG_HDRLEN + 7) + Bytes(8) + explanation("because"),
      NLM_F_ACK_TLVS));
  CHECK(whole.outcome.explanation == "because");

  const Reply dump = take(message(NLMSG_DONE, bytes_of(-ENOENT) + explanation("no such table"),
                                  NLM_F_MULTI | NLM_F_ACK_TLVS));
  CHECK(dump.outcome.error_number == ENOENT);
  CHECK(dump.outcome.explanation == "no such table");
}

TEST_CASE("a refusal that makes no sense is a protocol error", "[netlink]") {
  CHECK(take(message(NLMSG_ERROR, {})).outcome.error_number == EPROTO);
  CHECK(take(message(NLMSG_ERROR, error_payload(INT_MIN))).outcome.error_number == EPROTO);
  CHECK(take(message(NLMSG_ERROR, error_payload(7))).outcome.error_number == EPROTO);
  CHECK(take(message(NLMSG_DONE, {})).outcome.error_number == 0);
  // The repeated request claims to be longer than the datagram.
  const Reply reply = take(
      message(NLMSG_ERROR, error_payload(-EINVAL, 0xffffffff) + explanation("x"), NLM_F_ACK_TLVS));
  CHECK(reply.outcome.error_number == EINVAL);
  CHECK(reply.outcome.explanation.empty());
}

TEST_CASE("a datagram cut anywhere is read without harm", "[netlink]") {
  const Bytes whole =
      message(RTM_NEWLINK, Bytes(20)) +
      message(NLMSG_ERROR, error_payload(-EINVAL) + explanation("why"), NLM_F_ACK_TLVS);
  CHECK(take(whole).complete);
  for (std::size_t size = 0; size < whole.size(); ++size) {
    // A copy of its own, so that AddressSanitizer sees a read beyond the end.
    const Bytes part(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(size));
    const Reply reply = take(part);
    CHECK_FALSE(reply.complete);
    CHECK(reply.outcome.answers.size() == (size >= NLMSG_HDRLEN + 20 ? 1 : 0));
  }
}

TEST_CASE("what is said to several messages is told apart by their numbers", "[netlink]") {
  cni::netlink::Together together;
  together.take(message(RTM_NEWLINK, Bytes(4, std::byte{1}), 0, 6) +
                    message(NLMSG_ERROR, error_payload(0), 0, 6) +
                    message(NLMSG_ERROR, error_payload(-ENOENT), 0, 4) +
                    message(NLMSG_ERROR, error_payload(-ENOENT), 0, 8) + message(NLMSG_NOOP, {}),
                5, 7);
  together.take(message(NLMSG_ERROR, error_payload(-EEXIST) + explanation("why"),
                        NLM_F_CAPPED | NLM_F_ACK_TLVS, 5) +
                    message(NLMSG_DONE, bytes_of(0), NLM_F_MULTI, 7),
                5, 7);
  REQUIRE(together.ends.size() == 3);
  CHECK(together.ends[0].sequence == 6);
  CHECK(together.ends[0].error_number == 0);
  CHECK(together.ends[1].sequence == 5);
  CHECK(together.ends[1].error_number == EEXIST);
  CHECK(together.ends[1].explanation == "why");
  CHECK(together.ends[2].sequence == 7);
  REQUIRE(together.answers.size() == 1);
  CHECK(together.answers[0].payload == Bytes(4, std::byte{1}));
  CHECK_FALSE(together.lost);
  together.take(message(NLMSG_OVERRUN, {}), 5, 7);
  CHECK(together.lost);
}

TEST_CASE("a message shorter than its own header ends the datagram", "[netlink]") {
  Bytes bytes = message(RTM_NEWLINK, {});
  const std::uint32_t length = 0;
  std::memcpy(bytes.data(), &length, sizeof length);
  CHECK(take(bytes + message(NLMSG_DONE, {})).complete == false);
}
