#include "json/parse.h"

#include <sys/resource.h>

#include <array>
#include <catch2/catch.hpp>
#include <chrono>
#include <thread>

#include "json/reader.h"

using cni::json::parse;
using cni::json::Reader;
using cni::json::SyntaxError;
using cni::json::Value;

namespace {

std::string repeat(std::string_view piece, std::size_t times) {
  std::string text;
  text.reserve(piece.size() * times);
  for (std::size_t time = 0; time < times; ++time) text += piece;
  return text;
}

// The message of the SyntaxError; "" if the text was accepted.
std::string syntax_error(const std::string& text) {
  try {
    parse(text);
    return "";
  } catch (const SyntaxError& error) {
    return error.what();
  }
}

// Calls `function` on a thread with a stack of `bytes`.
template <typename Function>
void on_small_stack(std::size_t bytes, Function function) {
  pthread_attr_t attributes;
  ::pthread_attr_init(&attributes);
  REQUIRE(::pthread_attr_setstacksize(&attributes, bytes) == 0);
  pthread_t thread{};
  const auto run = [](void* argument) -> void* {
    (*static_cast<Function*>(argument))();
    return nullptr;
  };
  REQUIRE(::pthread_create(&thread, &attributes, run, &function) == 0);
  ::pthread_join(thread, nullptr);
  ::pthread_attr_destroy(&attributes);
}

}  // namespace

TEST_CASE("every kind of value is read", "[json]") {
  const Value value = parse(" {\"a\": [1, -1, 1.5, \"x\\u00e9\", true, false, null, {}, []]}\n");
  CHECK(value.dump() == "{\"a\":[1,-1,1.5,\"x\xc3\xa9\",true,false,null,{},[]]}");
  CHECK(parse("null").is_null());
  CHECK(parse("18446744073709551615").get<std::uint64_t>() == 18446744073709551615U);
}

TEST_CASE("the order of members and every repeated one are kept", "[json]") {
  const Value value = parse(R"({"b":1,"a":2,"b":3,"B":4})");
  std::vector<std::string> seen;
  for (const auto& [key, member] : value.get_ref<const Value::object_t&>()) {
    seen.push_back(key + "=" + member.dump());
  }
  CHECK(seen == std::vector<std::string>{"b=1", "a=2", "b=3", "B=4"});
}

TEST_CASE("an empty or truncated document says so", "[json]") {
  for (const char* text : {"", " \n\t\r", "{", "[1,", "{\"a\"", "{\"a\":", "\"abc", "{\"a\":1"}) {
    INFO(text);
    CHECK(syntax_error(text) == "unexpected end of JSON input");
  }
}

TEST_CASE("a truncated literal or number is refused", "[json]") {
  for (const char* text : {"nul", "tru", "[fals", "-", "1.", "1e", "1e+", "\"\\u12"}) {
    INFO(text);
    CHECK(syntax_error(text) != "");
  }
}

TEST_CASE("only one document is accepted", "[json]") {
  for (const std::string text : {"{}x", "{}{}", "{} null", "{},", "1 2", "{}]"}) {
    INFO(text);
    CHECK(syntax_error(text) != "");
  }
  CHECK(syntax_error("{} \r\n\t") == "");
}

TEST_CASE("a byte order mark is refused", "[json]") {
  CHECK(syntax_error("\xef\xbb\xbf{}") == "byte order mark before the document");
  CHECK(syntax_error(" \xef\xbb\xbf{}") != "");
  CHECK(syntax_error("{}\xef\xbb\xbf") != "");
}

TEST_CASE("raw control bytes are refused", "[json]") {
  for (char byte = 0; byte < ' '; ++byte) {
    INFO(static_cast<int>(byte));
    const std::string raw(1, byte);
    CHECK(syntax_error("{\"a\":\"x" + raw + "y\"}") != "");
    if (std::string_view("\t\n\r").find(byte) != std::string_view::npos) continue;
    CHECK(syntax_error("{" + raw + "}") != "");
    CHECK(syntax_error("{}" + raw) != "");
    CHECK(syntax_error("{}" + raw + "x") != "");
    CHECK(syntax_error(raw + "{}") != "");
  }
  CHECK(syntax_error("\"\x7f\"") == "");
}

TEST_CASE("what JavaScript knows and JSON does not is refused", "[json]") {
  for (const char* text : {"NaN",        "Infinity", "-Infinity",   "nan",        "inf",   "0x10",
                           "+1",         "01",       "-01",         "00",         ".5",    "1.",
                           "1.e5",       "1e400e5",  "1e400.5",     "'a'",        "{a:1}", "[1,]",
                           "{\"a\":1,}", "// x\n1",  "/* x */ 1",   "undefined",  "True",  "1_000",
                           "\"\\x41\"",  "\"\\a\"",  "\"\\u00g0\"", "\"\\u+123\""}) {
    INFO(text);
    CHECK(syntax_error(text) != "");
    CHECK(syntax_error("{\"key\":" + std::string(text) + "}") != "");
  }
}

TEST_CASE("the message names the place and repeats nothing", "[json]") {
  CHECK(syntax_error("{\n  \"password\": \"hunter2\",\n  \"b\": secret\n}") ==
        "invalid JSON at line 3, column 8");
  CHECK(syntax_error("x") == "invalid JSON at line 1, column 1");
}

TEST_CASE("numbers beyond every type are accepted, and are no integers", "[json]") {
  const std::string text = "{\"a\":1e400,\"b\":1" + std::string(30, '0') +
                           ",\"c\":-1e999999999999," + "\"d\":1" + std::string(400, '0') + ".5}";
  const Value value = parse(text);
  for (const char* key : {"a", "b", "c", "d"}) {
    INFO(key);
    CHECK_THROWS_AS(Reader(value)[key].find_integer(), cni::json::ValueError);
  }
}

TEST_CASE("broken text in strings is accepted and never kept as it is", "[json]") {
  const std::string replacement = "\xef\xbf\xbd";
  CHECK(parse("\"\xff\"").get<std::string>() == replacement);
  CHECK(parse(R"("\ud800")").get<std::string>() == replacement);
  CHECK(parse(R"("\udc00\ud800x")").get<std::string>() == replacement + replacement + "x");
  CHECK(parse("\"\xed\xa0\x80\"").get<std::string>() == replacement + replacement + replacement);
  CHECK(parse(R"("\ud83d\ude00")").get<std::string>() == "\xf0\x9f\x98\x80");
  CHECK(parse("{\"\xc3\":1}").begin().key() == replacement);
  // Outside strings it is no text at all.
  CHECK(syntax_error("{\xff}") != "");
}

TEST_CASE("an escaped NUL is a character like others", "[json]") {
  CHECK(parse(R"("a\u0000b")").get<std::string>() == std::string("a\0b", 3));
}

TEST_CASE("nesting has a limit", "[json]") {
  const auto lists = [](std::size_t depth) { return repeat("[", depth) + repeat("]", depth); };
  const auto objects = [](std::size_t depth) {
    return repeat("{\"a\":", depth) + "1" + repeat("}", depth);
  };
  CHECK(syntax_error(lists(10'000)) == "");
  CHECK(syntax_error(objects(10'000)) == "");
  CHECK(syntax_error(lists(10'001)) == "nested deeper than 10000");
  CHECK(syntax_error(objects(10'001)) == "nested deeper than 10000");
  CHECK(syntax_error("{\"a\":" + lists(9'999) + "}") == "");
  CHECK(syntax_error("{\"a\":" + lists(10'000) + "}") == "nested deeper than 10000");
  // Side by side is not nested.
  CHECK(syntax_error("[" + repeat("[],", 20'000) + "[]]") == "");
}

TEST_CASE("the stack does not grow with the nesting", "[json]") {
  // Catch2's macros are not for other threads.
  std::array<std::string, 3> errors;
  on_small_stack(128 * 1024, [&] {
    errors[0] = syntax_error(repeat("[", 5'000'000));
    errors[1] = syntax_error(repeat("{\"a\":[", 1'000'000));
    errors[2] = syntax_error(repeat("[", 10'000) + repeat("]", 10'000));
  });
  CHECK(errors[0] == "nested deeper than 10000");
  CHECK(errors[1] == "nested deeper than 10000");
  CHECK(errors[2] == "");
}

TEST_CASE("time grows no faster than the input", "[json]") {
  // Each of these took minutes if any step were quadratic.
  constexpr std::size_t kSize = 4'000'000;
  const auto of = [](std::string_view piece) { return repeat(piece, kSize / piece.size()); };
  CHECK(syntax_error("\"" + repeat("x", kSize) + "\"") == "");
  CHECK(syntax_error("\"" + of("\\ud800") + "\"") == "");
  CHECK(syntax_error("\"" + of("\xff ") + "\"") == "");
  CHECK(syntax_error("1" + repeat("0", kSize)) == "");
  CHECK(syntax_error("[" + of("1e400,   ") + "1]") == "");
  CHECK(syntax_error("{" + of("\"a\":                            1,") + "\"a\":1}") == "");
  CHECK(syntax_error(repeat("\n", kSize) + "x") ==
        "invalid JSON at line " + std::to_string(kSize + 1) + ", column 1");
}

TEST_CASE("a document that takes much memory is refused", "[json]") {
  const std::string too_large = "its values would take more than 8388608 bytes of memory";
  const std::string too_long = "a string or number is longer than 4194304 bytes";
  constexpr std::size_t kMany = 600'000;
  for (const char* piece : {"1,", "[],", "\"\",", "{},", "null,"}) {
    INFO(piece);
    CHECK(syntax_error("[" + repeat(piece, kMany) + "1]") == too_large);
  }
  CHECK(syntax_error("{" + repeat("\"a\":1,", kMany) + "\"a\":1}") == too_large);
  CHECK(syntax_error("[" + repeat("\"" + repeat("x", 1'000'000) + "\",", 9) + "1]") == too_large);
  CHECK(syntax_error("\"" + repeat("x", 4'200'000) + "\"") == too_long);
  CHECK(syntax_error("\"" + repeat("\xff", 4'200'000) + "\"") == too_long);
  CHECK(syntax_error("{\"" + repeat("x", 4'200'000) + "\":1}") == too_long);
  CHECK(syntax_error(repeat("1", 4'200'000)) == too_long);
  CHECK(syntax_error("[" + repeat("1,", 400'000) + "1]") == "");
}

TEST_CASE("text for people has four blanks of indent and no newline at its end", "[json]") {
  const Value value = parse("{\"a\":[1],\"b\":{}}");
  CHECK(cni::json::pretty(value) == "{\n    \"a\": [\n        1\n    ],\n    \"b\": {}\n}");
  CHECK(cni::json::compact(value) == R"({"a":[1],"b":{}})");
  CHECK(cni::json::pretty(Value("\xff")) == "\"\xef\xbf\xbd\"");
}
