#include "protocol/error.h"

#include <catch2/catch.hpp>
#include <cerrno>
#include <new>

#include "base/best_effort.h"
#include "base/error.h"
#include "json/parse.h"
#include "json/reader.h"
#include "netns/netns.h"

using cni::Code;
using cni::Error;
using cni::Version;

namespace {

template <typename Exception>
Error as_error(const Exception& exception) {
  return cni::to_error(std::make_exception_ptr(exception));
}

std::optional<Error> parsed(const char* text) {
  return cni::parse_error_document(cni::json::parse(text));
}

}  // namespace

TEST_CASE("the code follows from what failed", "[protocol]") {
  CHECK(as_error(Error(Code::kTryAgainLater, "x")).code() == Code::kTryAgainLater);
  CHECK(as_error(cni::json::ValueError("x", "y")).code() == Code::kInvalidConfig);
  CHECK(as_error(cni::json::SyntaxError("x")).code() == Code::kDecodingFailure);
  CHECK(as_error(cni::netns::InvalidNetns(ENOENT, "x")).code() == Code::kInvalidNetns);
  CHECK(as_error(cni::Busy("x")).code() == Code::kTryAgainLater);
  CHECK(as_error(cni::IoError(ENOSPC, "x")).code() == Code::kIoFailure);
  CHECK(as_error(cni::SystemError(EPERM, "x")).code() == Code::kInternal);
  CHECK(as_error(std::bad_alloc()).code() == Code::kInternal);
  CHECK(as_error(std::runtime_error("x")).code() == Code::kInternal);
  CHECK(as_error(42).code() == Code::kInternal);
}

TEST_CASE("message and details come along", "[protocol]") {
  const Error own = as_error(Error(Code::kInvalidConfig, "message", "details"));
  CHECK(own.what() == std::string("message"));
  CHECK(own.details() == "details");
  const Error value = as_error(cni::json::ValueError("no", "key \"a\" is 1"));
  CHECK(value.what() == std::string("no"));
  CHECK(value.details() == "key \"a\" is 1");
  CHECK(as_error(cni::SystemError(ENODEV, "set it")).what() ==
        std::string("set it: no such device"));
}

TEST_CASE("several failures have the code of the first", "[protocol]") {
  const auto finish = [](auto first) {
    cni::BestEffort cleanup;
    cleanup.run("do one", [&] { throw first; });
    cleanup.run("do two", [] { throw Error(Code::kInvalidConfig, "b"); });
    try {
      cleanup.finish();
    } catch (...) {
      return cni::to_error(std::current_exception());
    }
    return Error(Code{}, "nothing thrown");
  };
  const Error error = finish(Error(Code::kTryAgainLater, "a"));
  CHECK(error.code() == Code::kTryAgainLater);
  CHECK(error.what() == std::string("cannot do one: a; cannot do two: b"));
  CHECK(finish(cni::IoError(ENOSPC, "a")).code() == Code::kIoFailure);
}

TEST_CASE("one failure of several steps is itself", "[protocol]") {
  cni::BestEffort cleanup;
  cleanup.run("do one", [] { throw Error(Code::kTryAgainLater, "a", "d"); });
  cleanup.run("do two", [] {});
  try {
    cleanup.finish();
    FAIL("nothing thrown");
  } catch (...) {
    const Error error = cni::to_error(std::current_exception());
    CHECK(error.code() == Code::kTryAgainLater);
    CHECK(error.what() == std::string("a"));
    CHECK(error.details() == "d");
  }
}

TEST_CASE("the error document", "[protocol]") {
  CHECK(cni::json::pretty(
            cni::error_document(Error(Code::kInvalidConfig, "m\"<\n", "d"), Version::k0_4_0)) ==
        "{\n    \"cniVersion\": \"0.4.0\",\n    \"code\": 7,\n    \"msg\": \"m\\\"<\\n\",\n"
        "    \"details\": \"d\"\n}");
  const auto bare = cni::error_document(Error(Code::kInternal, "m"), Version::k1_1_0);
  CHECK(cni::json::compact(bare) == R"({"cniVersion":"1.1.0","code":999,"msg":"m"})");
}

TEST_CASE("whatever a message holds, the document is valid", "[protocol]") {
  const auto document =
      cni::error_document(Error(Code::kInternal, "a\xff\x01", "\xc3"), Version::k1_1_0);
  const auto read = nlohmann::json::parse(cni::json::pretty(document));
  CHECK(read["msg"] == "a\xef\xbf\xbd\x01");
  CHECK(read["details"] == "\xef\xbf\xbd");
}

TEST_CASE("the error of a delegate is read as it is", "[protocol]") {
  const auto error =
      parsed(R"({"cniVersion":"0.4.0","CODE":11,"msg":"m","details":"d","more":[1]})");
  REQUIRE(error);
  CHECK(error->code() == Code::kTryAgainLater);
  CHECK(error->what() == std::string("m"));
  CHECK(error->details() == "d");
  // A code of its own.
  CHECK(static_cast<unsigned>(parsed(R"({"code":4711,"msg":"m"})")->code()) == 4711);
  CHECK(parsed(R"({"code":4})")->what() == std::string());
}

TEST_CASE("a delegate's code 0 or none is an internal failure", "[protocol]") {
  CHECK(parsed(R"({"code":0,"msg":"m"})")->code() == Code::kInternal);
  CHECK(parsed(R"({"msg":"m"})")->code() == Code::kInternal);
}

TEST_CASE("what is no error object is none", "[protocol]") {
  for (const char* text :
       {"[]", "null", "1", "\"x\"", "{}", R"({"ips":[]})", R"({"code":"4","msg":"m"})",
        R"({"code":-1,"msg":"m"})", R"({"code":4294967296})", R"({"code":1.5})",
        R"({"code":4,"msg":1})", R"({"code":4,"msg":"m","details":{}})"}) {
    INFO(text);
    CHECK_FALSE(parsed(text).has_value());
  }
}
