#include "json/tolerant_text.h"

#include <catch2/catch.hpp>

using cni::json::tolerant_text;

TEST_CASE("text that needs no help stays as it is", "[json]") {
  for (const char* text : {
           R"({"a":[1,-2.5e3,true,null],"b":"x\u00e9\ud83d\ude00\"\\\/"})",
           "[1e308,1e-400,0.1e+10,123456789012345678901234567890]",
           "\"\xc3\xa9\xf0\x9f\x98\x80\"",
       }) {
    CHECK(tolerant_text(text) == text);
  }
}

TEST_CASE("what is no JSON stays no JSON", "[json]") {
  for (const char* text : {"", "{", "\"", "\"\\", "\"\\u12", "\"a\\\"", "-", "+1", "01", "0x10",
                           "NaN", "1e", "-Infinity", "\xff", "{}x", "1e400e5", "1e400.5",
                           "1e400-"
                           "1e400"}) {
    INFO(text);
    CHECK(tolerant_text(text) == text);
  }
}

TEST_CASE("broken UTF-8 in strings is replaced", "[json]") {
  CHECK(tolerant_text("\"a\xff\xfe\"") == "\"a\xef\xbf\xbd\xef\xbf\xbd\"");
  // A sequence that is cut off by the quote leaves the quote alone.
  CHECK(tolerant_text("[\"\xe2\x82\",1]") == "[\"\xef\xbf\xbd\xef\xbf\xbd\",1]");
  // Overlong and encoded surrogate.
  CHECK(tolerant_text("\"\xc0\xaf\"") == "\"\xef\xbf\xbd\xef\xbf\xbd\"");
  CHECK(tolerant_text("\"\xed\xa0\x80\"") == "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\"");
  // In keys as well.
  CHECK(tolerant_text("{\"\xff\":1}") == "{\"\xef\xbf\xbd\":1}");
}

TEST_CASE("lone surrogates are replaced", "[json]") {
  CHECK(tolerant_text(R"("\ud800")") == R"("\ufffd")");
  CHECK(tolerant_text(R"("\uDC00x")") == R"("\ufffdx")");
  CHECK(tolerant_text(R"("\ud800\ud800\udc00")") == R"("\ufffd\ud800\udc00")");
  CHECK(tolerant_text(R"("\udc00\ud800")") == R"("\ufffd\ufffd")");
  CHECK(tolerant_text(R"("\ud800\n\u0041")") == R"("\ufffd\n\u0041")");
  // The backslash is escaped: no surrogate at all.
  CHECK(tolerant_text(R"("\\ud800")") == R"("\\ud800")");
}

TEST_CASE("numbers beyond a double become readable", "[json]") {
  CHECK(tolerant_text("1e400") == "1e-99999999999");
  CHECK(tolerant_text("[-1.5E+400]") == "[-1.5e-99999999999]");
  CHECK(tolerant_text("1" + std::string(400, '0')) ==
        "1" + std::string(400, '0') + "e-99999999999");
  CHECK(tolerant_text("[\"\",1e400]") == "[\"\",1e-99999999999]");
  // Inside a string it is no number.
  CHECK(tolerant_text("\"1e400\"") == "\"1e400\"");
}
