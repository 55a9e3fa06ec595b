#include "netlink/message.h"

#include <linux/netlink.h>
#include <linux/rtnetlink.h>

#include <catch2/catch.hpp>
#include <stdexcept>
#include <string>
#include <vector>

using cni::netlink::Attributes;
using cni::netlink::kMaxAttributePayload;
using cni::netlink::Message;

namespace {

std::vector<std::byte> filler(std::size_t size) {
  return std::vector<std::byte>(size, std::byte{0x5a});
}

// What follows the nlmsghdr.
std::span<const std::byte> payload(const Message& message) {
  const nlmsghdr* header = message.header();
  return {reinterpret_cast<const std::byte*>(header) + NLMSG_HDRLEN,
          header->nlmsg_len - NLMSG_HDRLEN};
}

}  // namespace

TEST_CASE("a request carries type, flags, header and attributes", "[netlink]") {
  Message message(RTM_NEWLINK, NLM_F_CREATE);
  ifinfomsg header{};
  header.ifi_index = 7;
  message.put_header(header);
  message.put_text(1, "eth0");
  message.put_u8(2, 0x12);
  message.put_u16(3, 0x1234);
  message.put_u32(4, 0x12345678);
  message.put_i32(5, -2);
  message.put_address(6, *cni::inet::Address::parse("10.1.2.3"));
  message.put_address(7, *cni::inet::Address::parse("fd00::1"));
  message.put_mac(8, *cni::inet::Mac::parse("02:00:00:00:00:01"));

  CHECK(message.header()->nlmsg_type == RTM_NEWLINK);
  CHECK(message.header()->nlmsg_flags == (NLM_F_REQUEST | NLM_F_CREATE));
  CHECK(message.header()->nlmsg_len % NLMSG_ALIGNTO == 0);
  CHECK(Attributes::read_header<ifinfomsg>(payload(message))->ifi_index == 7);

  const Attributes attributes = Attributes::after_header(payload(message), sizeof header);
  CHECK(attributes.find(1)->size() == 5);  // with its NUL
  CHECK(attributes.text(1) == "eth0");
  CHECK(attributes.find_u8(2) == 0x12);
  CHECK(attributes.find_u16(3) == 0x1234);
  CHECK(attributes.find_u32(4) == 0x12345678U);
  CHECK(attributes.find_i32(5) == -2);
  CHECK(attributes.find_address(6)->text() == "10.1.2.3");
  CHECK(attributes.find_address(7)->text() == "fd00::1");
  CHECK(attributes.find(8)->size() == 6);
  CHECK_FALSE(attributes.has(9));
  CHECK_FALSE(attributes.find_u32(3));  // another size
  CHECK_FALSE(attributes.find_address(8));
}

TEST_CASE("nests hold what is put inside, an empty one too", "[netlink]") {
  Message message(RTM_NEWLINK, 0);
  message.nest(18, [&] {
    message.put_text(1, "veth");
    message.nest(2, [&] {
      message.nest(1, [&] {
        message.put_header(ifinfomsg{});
        message.put_text(3, "eth0");
      });
    });
    message.nest(4, [] {});
  });
  message.put_u32(19, 5);

  const Attributes outer(payload(message));
  CHECK(outer.nested(18).text(1) == "veth");
  const auto peer = outer.nested(18).nested(2).find(1);
  REQUIRE(peer);
  CHECK(Attributes::after_header(*peer, sizeof(ifinfomsg)).text(3) == "eth0");
  REQUIRE(outer.nested(18).find(4));
  CHECK(outer.nested(18).find(4)->empty());
  CHECK(outer.find_u32(19) == 5U);
}

TEST_CASE("a request grows with its content", "[netlink]") {
  Message message(RTM_NEWLINK, 0);
  message.nest(1, [&] {
    for (int at = 0; at < 60; ++at) message.put_bytes(2, filler(1000));
  });
  message.put_u8(3, 9);
  std::size_t count = 0;
  Attributes(payload(message)).nested(1).for_each([&](int, std::span<const std::byte> bytes) {
    CHECK(std::vector(bytes.begin(), bytes.end()) == filler(1000));
    ++count;
  });
  CHECK(count == 60);
  CHECK(Attributes(payload(message)).find_u8(3) == 9);
}

TEST_CASE("no attribute is longer than its 16-bit length can say", "[netlink]") {
  Message message(RTM_NEWLINK, 0);
  message.put_bytes(1, filler(kMaxAttributePayload));
  CHECK(Attributes(payload(message)).find(1)->size() == kMaxAttributePayload);
  const std::uint32_t before = message.header()->nlmsg_len;
  CHECK_THROWS_AS(message.put_bytes(2, filler(kMaxAttributePayload + 1)), std::length_error);
  CHECK_THROWS_AS(message.put_bytes(2, filler(kMaxAttributePayload + 5)), std::length_error);
  CHECK_THROWS_AS(message.put_text(2, std::string(kMaxAttributePayload, 'x')), std::length_error);
  CHECK(message.header()->nlmsg_len == before);
}

TEST_CASE("no nest is longer than its 16-bit length can say", "[netlink]") {
  // The header of the attribute inside takes 4 bytes, and its end is padded to 4.
  constexpr std::size_t kLargestInside = kMaxAttributePayload - 4 - 3;
  Message fits(RTM_NEWLINK, 0);
  fits.nest(1, [&] { fits.put_bytes(2, filler(kLargestInside)); });
  CHECK(Attributes(payload(fits)).nested(1).find(2)->size() == kLargestInside);

  Message padded(RTM_NEWLINK, 0);
  CHECK_THROWS_AS(padded.nest(1, [&] { padded.put_bytes(2, filler(kLargestInside + 1)); }),
                  std::length_error);
  Message sum(RTM_NEWLINK, 0);
  CHECK_THROWS_AS(sum.nest(1,
                           [&] {
                             sum.put_bytes(2, filler(40000));
                             sum.put_bytes(3, filler(40000));
                           }),
                  std::length_error);
  Message deep(RTM_NEWLINK, 0);
  CHECK_THROWS_AS(deep.nest(1,
                            [&] {
                              deep.nest(2, [&] { deep.put_bytes(3, filler(40000)); });
                              deep.nest(2, [&] { deep.put_bytes(3, filler(40000)); });
                            }),
                  std::length_error);
}

TEST_CASE("text with a NUL inside is refused", "[netlink]") {
  Message message(RTM_NEWLINK, 0);
  CHECK_THROWS_AS(message.put_text(1, std::string("eth\0evil", 8)), std::invalid_argument);
}

TEST_CASE("attributes with impossible lengths end the list", "[netlink]") {
  const auto bytes = [](std::initializer_list<int> values) {
    std::vector<std::byte> result;
    for (const int value : values) result.push_back(static_cast<std::byte>(value));
    return result;
  };
  const auto types = [](const std::vector<std::byte>& content) {
    std::vector<int> seen;
    Attributes(content).for_each(
        [&](int type, std::span<const std::byte>) { seen.push_back(type); });
    return seen;
  };
  CHECK(types({}).empty());
  CHECK(types(bytes({4, 0, 1})).empty());                                 // half a header
  CHECK(types(bytes({0, 0, 1, 0, 0, 0, 0, 0})).empty());                  // would never end
  CHECK(types(bytes({3, 0, 1, 0})).empty());                              // less than itself
  CHECK(types(bytes({9, 0, 1, 0, 1, 2, 3, 4})).empty());                  // one byte too far
  CHECK(types(bytes({4, 0, 1, 0, 8, 0, 2, 0, 1, 2})) == std::vector{1});  // second is cut off
  CHECK(types(bytes({5, 0, 1, 0, 9})) == std::vector{1});                 // padding is missing
  CHECK(types(bytes({4, 0, 1, 0x80, 4, 0, 2, 0x40})) ==
        std::vector{1, 2});  // flag bits of the type

  const std::vector<std::byte> text = bytes({6, 0, 1, 0, 'a', 'b', 0, 0});
  CHECK(Attributes(text).text(1) == "ab");  // no NUL of its own
  CHECK(Attributes(text).text(2).empty());
  CHECK_FALSE(Attributes::after_header(text, 100).has(1));
}
