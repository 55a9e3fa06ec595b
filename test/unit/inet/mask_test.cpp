#include "inet/mask.h"

#include <catch2/catch.hpp>
#include <string>

using cni::inet::Address;
using cni::inet::mask_of;
using cni::inet::Network;
using cni::inet::prefix_length_of;

namespace {

std::string mask_text(const std::string& network) {
  return mask_of(Network::parse(network).value()).text();
}

std::optional<int> length(const std::string& mask) {
  return prefix_length_of(Address::parse(mask).value());
}

}  // namespace

TEST_CASE("a prefix length is a mask", "[inet]") {
  CHECK(mask_text("10.1.2.5/24") == "255.255.255.0");
  CHECK(mask_text("10.1.2.5/0") == "0.0.0.0");
  CHECK(mask_text("10.1.2.5/32") == "255.255.255.255");
  CHECK(mask_text("2001:db8::5/63") == "ffff:ffff:ffff:fffe::");
}

TEST_CASE("a mask without holes is a prefix length", "[inet]") {
  CHECK(length("255.255.255.0") == 24);
  CHECK(length("0.0.0.0") == 0);
  CHECK(length("255.255.255.255") == 32);
  CHECK(length("ffff:ffff:ffff:fffe::") == 63);
  CHECK(length("255.0.255.0") == std::nullopt);
  CHECK(length("0.0.0.1") == std::nullopt);
  CHECK(length("::1") == std::nullopt);
}
