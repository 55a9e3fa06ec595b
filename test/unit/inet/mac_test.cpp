#include "inet/mac.h"

#include <catch2/catch.hpp>
#include <string>

using cni::inet::Mac;

TEST_CASE("hardware addresses are read in all usual forms", "[inet]") {
  for (const char* text : {"0a:58:0A:01:02:03", "0a-58-0a-01-02-03", "0a58.0a01.0203"}) {
    INFO(text);
    const auto mac = Mac::parse(text);
    REQUIRE(mac.has_value());
    CHECK(mac->text() == "0a:58:0a:01:02:03");
    CHECK(mac->bytes() == std::vector<std::uint8_t>{0x0a, 0x58, 0x0a, 1, 2, 3});
  }
  CHECK(Mac::parse("00:11:22:33:44:55:66:77")->text() == "00:11:22:33:44:55:66:77");
  CHECK(Mac::parse("0011.2233.4455.6677")->bytes().size() == 8);
  const std::string infiniband = "00:00:00:00:fe:80:00:00:00:00:00:00:02:00:5e:10:00:00:00:01";
  CHECK(Mac::parse(infiniband)->text() == infiniband);
}

TEST_CASE("what is no hardware address is refused", "[inet]") {
  for (const char* text : {"",
                           ":",
                           "0a",
                           "0a:58",
                           "0a:58:0a:01:02",
                           "0a:58:0a:01:02:03:",
                           ":0a:58:0a:01:02:03",
                           "0a:58:0a:01:02:03:04",
                           "0a:58-0a:01:02:03",
                           "0a580a010203",
                           "0g:58:0a:01:02:03",
                           "0a:58:0a:01:02:3",
                           "a:58:0a:01:02:03",
                           "0a58:0a01:0203",
                           "0a58.0a01",
                           "0a58.0a01.020",
                           "0a58.0a01.0203.",
                           "0a:58:0a:01:02:+3",
                           "0a:58:0a:01:02: 3",
                           "0a 58 0a 01 02 03"}) {
    INFO(text);
    CHECK_FALSE(Mac::parse(text).has_value());
  }
}

TEST_CASE("group addresses and zeros cannot be given to an interface", "[inet]") {
  CHECK(Mac::parse("0a:58:0a:01:02:03")->is_assignable());
  CHECK(Mac::parse("00:00:00:00:00:01")->is_assignable());
  CHECK_FALSE(Mac::parse("00:00:00:00:00:00")->is_assignable());
  CHECK_FALSE(Mac::parse("01:00:5e:00:00:01")->is_assignable());
  CHECK_FALSE(Mac::parse("ff:ff:ff:ff:ff:ff")->is_assignable());
  CHECK_FALSE(Mac(std::vector<std::uint8_t>{}).is_assignable());
}
