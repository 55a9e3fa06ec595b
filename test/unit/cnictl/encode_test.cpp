#include "cnictl/encode.h"

#include <catch2/catch.hpp>

#include "json/parse.h"

using cni::cnictl::base64;
using cni::cnictl::sorted_json;

// RFC 4648, section 10.
TEST_CASE("base64 gives the RFC's test vectors", "[cnictl]") {
  CHECK(base64("") == "");
  CHECK(base64("f") == "Zg==");
  CHECK(base64("fo") == "Zm8=");
  CHECK(base64("foo") == "Zm9v");
  CHECK(base64("foob") == "Zm9vYg==");
  CHECK(base64("fooba") == "Zm9vYmE=");
  CHECK(base64("foobar") == "Zm9vYmFy");
  CHECK(base64("\xff\xfe\xfd") == "//79");
}

TEST_CASE("JSON for plugins is compact and sorted at every level", "[cnictl]") {
  const auto value = cni::json::parse(R"({ "b": [ {"z": null, "a": true} ], "a": 1.5, "B": "x" })");
  CHECK(sorted_json(value) == R"({"B":"x","a":1.5,"b":[{"a":true,"z":null}]})");
}

TEST_CASE("JSON for plugins keeps the last of a repeated key", "[cnictl]") {
  CHECK(sorted_json(cni::json::parse(R"({"a": 1, "b": 2, "a": 3})")) == R"({"a":3,"b":2})");
}

TEST_CASE("JSON for plugins escapes what Go's encoder escapes", "[cnictl]") {
  const auto value = cni::json::parse("{\"<k>\": \"a&b\xe2\x80\xa8\xe2\x80\xa9\\\"\xc3\xa4\"}");
  CHECK(sorted_json(value) == "{\"\\u003ck\\u003e\":\"a\\u0026b\\u2028\\u2029\\\"\xc3\xa4\"}");
}

TEST_CASE("JSON for plugins keeps every digit of an integer", "[cnictl]") {
  const std::string text = R"({"big":18446744073709551615,"small":-9223372036854775808})";
  CHECK(sorted_json(cni::json::parse(text)) == text);
}
