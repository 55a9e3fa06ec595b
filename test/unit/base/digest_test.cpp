#include "base/digest.h"

#include <catch2/catch.hpp>

// The values for "" and "abc" are the examples of FIPS 180-4; `printf abc | sha512sum` agrees.
TEST_CASE("sha-512 of known texts", "[base]") {
  CHECK(cni::sha512_hex("") ==
        "cf83e1357eefb8bdf1542850d66d8007d620e4050b5715dc83f4a921d36ce9ce"
        "47d0d13c5d85f2b0ff8318d2877eec2f63b931bd47417a81a538327af927da3e");
  CHECK(cni::sha512_hex("abc") ==
        "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a"
        "2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f");
}

TEST_CASE("a digest can be cut", "[base]") {
  CHECK(cni::sha512_hex("abc", 8) == "ddaf35a1");
  CHECK(cni::sha512_hex("abc", 7) == "ddaf35a");
  CHECK(cni::sha512_hex("abc", 0).empty());
  CHECK(cni::sha512_hex("abc", 500).size() == 128);
}

TEST_CASE("a digest takes every byte of its text", "[base]") {
  using namespace std::string_view_literals;
  CHECK(cni::sha512_hex("a\0b"sv) != cni::sha512_hex("a"));
  CHECK(cni::sha512_hex(std::string(1000, 'x')) != cni::sha512_hex(std::string(1001, 'x')));
}
