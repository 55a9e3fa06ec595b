#include "base/text.h"

#include <catch2/catch.hpp>
#include <cstdint>

using namespace std::string_literals;

TEST_CASE("split gives every piece, empty ones too", "[base]") {
  using Pieces = std::vector<std::string>;
  CHECK(cni::split("a;b", ';') == Pieces{"a", "b"});
  CHECK(cni::split("", ';') == Pieces{""});
  CHECK(cni::split(";", ';') == Pieces{"", ""});
  CHECK(cni::split("a;;b;", ';') == Pieces{"a", "", "b", ""});
  CHECK(cni::split("a:b", ';') == Pieces{"a:b"});
}

TEST_CASE("trim takes blanks from both ends only", "[base]") {
  CHECK(cni::trim(" \t\r\na b\n ") == "a b");
  CHECK(cni::trim("ab") == "ab");
  CHECK(cni::trim(" \n").empty());
  CHECK(cni::trim("").empty());
}

TEST_CASE("case is ignored for ascii letters only", "[base]") {
  CHECK(cni::equal_ignoring_case("IPv4", "ipV4"));
  CHECK_FALSE(cni::equal_ignoring_case("a", "ab"));
  CHECK_FALSE(cni::equal_ignoring_case("\xc3\x84", "\xc3\xa4"));  // umlaut a
  // The bytes 0x20 apart from letters: '@' and '`', '[' and '{'.
  CHECK_FALSE(cni::equal_ignoring_case("@", "`"));
  CHECK_FALSE(cni::equal_ignoring_case("[", "{"));
}

TEST_CASE("numbers are decimal, whole and in range", "[base]") {
  CHECK(cni::parse_number<int>("42") == 42);
  CHECK(cni::parse_number<int>("-42") == -42);
  CHECK(cni::parse_number<std::uint8_t>("255") == 255);
  CHECK_FALSE(cni::parse_number<std::uint8_t>("256"));
  CHECK_FALSE(cni::parse_number<unsigned>("-1"));
  for (const char* text :
       {"", " 1", "1 ", "+1", "0x1", "1e3", "1.0", "--1", "99999999999999999999"}) {
    INFO(text);
    CHECK_FALSE(cni::parse_number<std::int64_t>(text));
  }
}

TEST_CASE("quoted texts are readable and cannot break a line", "[base]") {
  CHECK(cni::in_quotes("eth0") == R"("eth0")");
  CHECK(cni::in_quotes("").size() == 2);
  CHECK(cni::in_quotes("a\"b\\c") == R"("a\"b\\c")");
  CHECK(cni::in_quotes("a\nb\0c\x7f"s) == R"("a\x0ab\x00c\x7f")");
  CHECK(cni::in_quotes("\xc3\xa4\xff") == "\"\xc3\xa4\\xff\"");
}

TEST_CASE("quoted texts are cut at 64 characters, not bytes", "[base]") {
  CHECK(cni::in_quotes(std::string(64, 'x')) == '"' + std::string(64, 'x') + '"');
  CHECK(cni::in_quotes(std::string(65, 'x')) == '"' + std::string(64, 'x') + "...\"");
  std::string umlauts;
  for (int count = 0; count < 64; ++count) umlauts += "\xc3\xa4";
  CHECK(cni::in_quotes(umlauts) == '"' + umlauts + '"');
}

// The table of well-formed sequences: RFC 3629, section 4.
TEST_CASE("utf-8 is told from what only looks like it", "[base]") {
  const auto length = [](const std::string& text) { return cni::utf8_length(text); };
  CHECK(length("a") == 1);
  CHECK(length("\xc2\x80") == 2);
  CHECK(length("\xe0\xa0\x80") == 3);
  CHECK(length("\xed\x9f\xbf") == 3);
  CHECK(length("\xee\x80\x80") == 3);
  CHECK(length("\xf0\x90\x80\x80") == 4);
  CHECK(length("\xf4\x8f\xbf\xbf") == 4);
  for (const std::string& broken :
       {"\x80"s, "\xbf"s, "\xc0\x80"s, "\xc1\xbf"s, "\xc3"s, "\xc3\x28"s, "\xe0\x9f\xbf"s,
        "\xe2\x82"s, "\xed\xa0\x80"s, "\xf0\x8f\xbf\xbf"s, "\xf0\x9f\x98"s, "\xf4\x90\x80\x80"s,
        "\xf5\x80\x80\x80"s, "\xff"s}) {
    CHECK(length(broken) == 0);
  }
}

TEST_CASE("broken utf-8 is replaced byte by byte, the rest stays", "[base]") {
  CHECK(cni::valid_utf8("plain \xc3\xa4") == "plain \xc3\xa4");
  CHECK(cni::valid_utf8("a\xff\xfe"
                        "b") ==
        "a\xef\xbf\xbd\xef\xbf\xbd"
        "b");
  CHECK(cni::valid_utf8("\xed\xa0\x80").size() == 9);  // a surrogate: three broken bytes
  CHECK(cni::valid_utf8("\xc3") == "\xef\xbf\xbd");
}
