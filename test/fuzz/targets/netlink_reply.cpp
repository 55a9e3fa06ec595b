// Datagrams of the kernel: messages, verdicts and attributes. Each piece is one datagram.

#include "base/text.h"
#include "fuzz/input.h"
#include "fuzz/oracle.h"
#include "fuzz/targets.h"
#include "netlink/message.h"
#include "netlink/reply.h"

namespace cni::fuzz {
namespace {

constexpr std::uint32_t kSequence = 0;

void read_attributes(const netlink::Attributes& attributes, int depth) {
  attributes.for_each([&](int attribute, std::span<const std::byte> payload) {
    require(payload.size() <= netlink::kMaxAttributePayload, "an attribute has its length");
    require(attributes.has(attribute), "an attribute that is there is found");
    attributes.find_u8(attribute);
    attributes.find_u16(attribute);
    attributes.find_u32(attribute);
    attributes.find_address(attribute);
    require(attributes.text(attribute).find('\0') == std::string::npos, "a text ends at its NUL");
    if (depth > 0) read_attributes(netlink::Attributes(payload), depth - 1);
  });
}

}  // namespace

void netlink_reply(std::string_view input) {
  Pieces pieces(input);
  netlink::Reply reply{.single = pieces.byte() % 2 == 1};
  netlink::Together together;
  for (int count = 0; !pieces.empty() && count < 64; ++count) {
    const auto datagram = bytes(pieces.sized());
    if (!reply.complete) reply.take(datagram, kSequence);
    together.take(datagram, kSequence, kSequence + 3);
  }
  require(reply.outcome.error_number >= 0 && reply.outcome.error_number <= 4095,
          "an outcome is an errno");
  require(valid_utf8(reply.outcome.explanation) == reply.outcome.explanation,
          "the kernel's words are UTF-8");
  require(reply.outcome.error_number == 0 || reply.complete, "an error is the end");
  for (const netlink::Acknowledgement& end : together.ends) {
    require(end.error_number >= 0 && end.error_number <= 4095, "an acknowledgement is an errno");
  }
  for (const netlink::Answer& answer : together.answers) {
    read_attributes(netlink::Attributes(answer.payload), 2);
    read_attributes(netlink::Attributes::after_header(answer.payload, 16), 2);
  }
}

}  // namespace cni::fuzz
