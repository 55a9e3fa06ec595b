#include "host-local-ipam/config.h"

#include <catch2/catch.hpp>
#include <chrono>

#include "host-local-ipam/resolv_conf.h"

using cni::host_local::parse_duration;
using namespace std::chrono_literals;

TEST_CASE("durations are written as in Go", "[host-local]") {
  CHECK(parse_duration("90s") == 90s);
  CHECK(parse_duration("1h30m") == 90min);
  CHECK(parse_duration("500ms") == 500ms);
  CHECK(parse_duration("1m1ns") == 60'000'000'001ns);
  CHECK(parse_duration("0s") == 0s);
  for (const char* bad : {"", "1", "s", "-1s", "1.5s", "1 s", "1d", "1s1", "99999999h", "87601h",
                          "99999999999999999999s"}) {
    INFO(bad);
    CHECK_FALSE(parse_duration(bad).has_value());
  }
}

TEST_CASE("resolv.conf is read line by line", "[host-local]") {
  const auto dns = cni::host_local::parse_resolv_conf(
      "# nameserver 192.0.2.9\n;x y\n\n  nameserver\t192.0.2.1  ignored\nnameserver fd00::1\n"
      "nameserver\ndomain a\ndomain b\nsearch x y\nsearch z\r\noptions ndots:5 rotate\nsortlist "
      "q\n");
  CHECK(dns.nameservers == std::vector<std::string>{"192.0.2.1", "fd00::1"});
  CHECK(dns.domain == "b");
  CHECK(dns.search == std::vector<std::string>{"x", "y", "z"});
  CHECK(dns.options == std::vector<std::string>{"ndots:5", "rotate"});
  CHECK(cni::host_local::parse_resolv_conf("").empty());
}
