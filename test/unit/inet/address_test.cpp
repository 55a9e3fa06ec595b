#include "inet/address.h"

#include <catch2/catch.hpp>
#include <string>

using cni::inet::Address;
using cni::inet::Family;

namespace {

Address address(const std::string& text) {
  INFO(text);
  const auto parsed = Address::parse(text);
  REQUIRE(parsed.has_value());
  return *parsed;
}

std::string round_trip(const std::string& text) {
  return address(text).text();
}

}  // namespace

TEST_CASE("ipv4 addresses are read and printed", "[inet]") {
  CHECK(round_trip("10.1.2.3") == "10.1.2.3");
  CHECK(round_trip("0.0.0.0") == "0.0.0.0");
  CHECK(round_trip("255.255.255.255") == "255.255.255.255");
  CHECK(address("10.1.2.3").family() == Family::kIpv4);
  CHECK(address("10.1.2.3").bits() == 0x0a010203);
}

TEST_CASE("what is no address is refused", "[inet]") {
  using namespace std::string_literals;
  for (const std::string& text : {""s,
                                  " "s,
                                  "10.1.2"s,
                                  "10.1.2.3.4"s,
                                  "10.1.2.256"s,
                                  "010.1.2.3"s,
                                  "10.1.2.03"s,
                                  "10.1.2.-3"s,
                                  "0x0a.1.2.3"s,
                                  "10.1.2.3 "s,
                                  " 10.1.2.3"s,
                                  "10.1.2.3\n"s,
                                  "10.1.2.3\0"s,
                                  "10.1.2.3/24"s,
                                  "1"s,
                                  "localhost"s,
                                  ":"s,
                                  ":::"s,
                                  "1::2::3"s,
                                  "1:2:3:4:5:6:7"s,
                                  "1:2:3:4:5:6:7:8:9"s,
                                  "12345::"s,
                                  "g::"s,
                                  "fe80::1%eth0"s,
                                  "[::1]"s,
                                  "::1.2.3"s,
                                  "::01.2.3.4"s,
                                  "::1\0"s}) {
    INFO(text);
    CHECK_FALSE(Address::parse(text).has_value());
  }
}

// RFC 5952, section 4.
TEST_CASE("ipv6 text has one form", "[inet]") {
  // 4.1: no leading zeros in a group. 4.3: lower case.
  CHECK(round_trip("2001:0DB8:0000:0000:0001:0000:0000:0001") == "2001:db8::1:0:0:1");
  // 4.2.1: as short as can be.
  CHECK(round_trip("2001:db8:0:0:0:0:2:1") == "2001:db8::2:1");
  CHECK(round_trip("0:0:0:0:0:0:0:0") == "::");
  CHECK(round_trip("0:0:0:0:0:0:0:1") == "::1");
  CHECK(round_trip("1:0:0:0:0:0:0:0") == "1::");
  // 4.2.2: a single group of zeros is no "::".
  CHECK(round_trip("2001:db8:0:1:1:1:1:1") == "2001:db8:0:1:1:1:1:1");
  CHECK(round_trip("2001:db8::1:1:1:1:1") == "2001:db8:0:1:1:1:1:1");
  CHECK(round_trip("0:1:1:1:1:1:1:1") == "0:1:1:1:1:1:1:1");
  CHECK(round_trip("1:1:1:1:1:1:1:0") == "1:1:1:1:1:1:1:0");
  // 4.2.3: the longest run; of equal ones the first.
  CHECK(round_trip("2001:0:0:1:0:0:0:1") == "2001:0:0:1::1");
  CHECK(round_trip("2001:db8:0:0:1:0:0:1") == "2001:db8::1:0:0:1");
  CHECK(round_trip("0:0:1:0:0:0:0:0") == "0:0:1::");
  CHECK(round_trip("::1:0:0:0:0:0") == "0:0:1::");
  CHECK(round_trip("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff") ==
        "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff");
  // No dotted tail.
  CHECK(round_trip("64:ff9b::10.1.2.3") == "64:ff9b::a01:203");
  CHECK(round_trip("::10.1.2.3") == "::a01:203");
}

TEST_CASE("an ipv4-mapped address is the ipv4 address", "[inet]") {
  CHECK(address("::ffff:10.1.2.3") == address("10.1.2.3"));
  CHECK(address("::ffff:a01:203") == address("10.1.2.3"));
  CHECK(address("::ffff:0.0.0.0").family() == Family::kIpv4);
  // Neighbours of that prefix are not.
  CHECK(address("::fffe:a01:203").family() == Family::kIpv6);
  CHECK(address("::1:ffff:a01:203").family() == Family::kIpv6);
}

TEST_CASE("bytes are in network order", "[inet]") {
  const auto four = address("10.1.2.3").bytes();
  CHECK(four[0] == 10);
  CHECK(four[3] == 3);
  CHECK(four[4] == 0);
  const auto sixteen = address("2001:db8::ff").bytes();
  CHECK(sixteen[0] == 0x20);
  CHECK(sixteen[15] == 0xff);
  for (const char* text : {"10.1.2.3", "2001:db8::ff", "::", "255.255.255.255"}) {
    const Address one = address(text);
    CHECK(Address::from_bytes(one.family(), one.bytes().data()) == one);
  }
}

TEST_CASE("the next address carries, and wraps at the end", "[inet]") {
  CHECK(address("10.1.2.255").next().text() == "10.1.3.0");
  CHECK(address("255.255.255.255").next().text() == "0.0.0.0");
  CHECK(address("2001:db8::ffff:ffff:ffff:ffff").next().text() == "2001:db8:0:1::");
  CHECK(address("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff").next().text() == "::");
}

TEST_CASE("addresses know what kind they are", "[inet]") {
  CHECK(address("0.0.0.0").is_unspecified());
  CHECK(address("::").is_unspecified());
  CHECK_FALSE(address("0.0.0.1").is_unspecified());

  CHECK(address("127.0.0.1").is_loopback());
  CHECK(address("127.255.255.255").is_loopback());
  CHECK(address("::1").is_loopback());
  CHECK_FALSE(address("128.0.0.1").is_loopback());
  CHECK_FALSE(address("::2").is_loopback());
  CHECK_FALSE(address("0.0.0.1").is_loopback());

  CHECK(address("224.0.0.1").is_multicast());
  CHECK(address("239.255.255.255").is_multicast());
  CHECK(address("ff02::1").is_multicast());
  CHECK_FALSE(address("240.0.0.1").is_multicast());
  CHECK_FALSE(address("fe80::1").is_multicast());

  CHECK(address("169.254.1.1").is_link_local());
  CHECK(address("fe80::1").is_link_local());
  CHECK(address("febf::1").is_link_local());
  CHECK_FALSE(address("fec0::1").is_link_local());
  CHECK_FALSE(address("169.255.0.1").is_link_local());
}

TEST_CASE("addresses sort by family and value", "[inet]") {
  CHECK(address("10.0.0.2") < address("10.0.0.10"));
  CHECK(address("255.255.255.255") < address("::"));
  CHECK(address("::1") < address("::2"));
  CHECK(address("0.0.0.1") != address("::1"));
}
