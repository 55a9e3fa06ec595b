#include "host-local-ipam/stamp.h"

#include <unistd.h>

#include <catch2/catch.hpp>

#include "host-local-ipam/store.h"

using cni::host_local::Owner;
using cni::host_local::parse_owner;
using cni::host_local::parse_record;
using cni::host_local::Record;
using cni::inet::Address;

TEST_CASE("a record is read as it was written, or not at all", "[host-local]") {
  const Record record = {
      .stamp = {.boot = "b",
                .netns = {{.device = 4, .inode = 4026532290}},
                .netns_path = "/run/netns/a b",
                .adder = {{.pid = 17, .start = "4711"}},
                .pod = "n/p"},
      .addresses = {*Address::parse("10.1.2.3"), *Address::parse("fd00::1")},
  };
  const std::string whole = text(record);
  CHECK(parse_record(whole) == record);
  CHECK(parse_record(text(Record{})) == Record{});
  for (std::size_t length = 0; length < whole.size(); ++length) {
    CHECK_FALSE(parse_record(whole.substr(0, length)).has_value());
  }
  CHECK_FALSE(parse_record(std::string(whole.size(), '\0')).has_value());
  CHECK_FALSE(parse_record("boot b\naddress x\nend\n").has_value());
}

TEST_CASE("the content of a reservation is understood as the Go suite does", "[host-local]") {
  CHECK(parse_owner("c1\r\neth0") == Owner{"c1", "eth0"});
  CHECK(parse_owner(" c1\r\neth0\n") == Owner{"c1", "eth0"});
  CHECK(parse_owner("c1") == Owner{"c1"});
  CHECK(parse_owner("c1\r\n") == Owner{"c1"});
  for (const char* torn : {"", "\r\n", "c1\neth0", "c1\r\neth0\r\nmore", "c 1", "c1\r\na/b",
                           "c1\r\n0123456789abcdef", "-c1\r\neth0"}) {
    CHECK_FALSE(parse_owner(torn).has_value());
  }
  CHECK(text(Owner{"c1", "eth0"}) == "c1\r\neth0");
  CHECK(text(Owner{"c1"}) == "c1");
}

TEST_CASE("a process is told from a later one of its number", "[host-local]") {
  const auto self = cni::host_local::find_process(::getpid());
  REQUIRE(self.has_value());
  CHECK(self == cni::host_local::find_process(::getpid()));
  CHECK_FALSE(self->start.empty());
  CHECK_FALSE(cni::host_local::find_process(0x7ffffffe).has_value());
}
