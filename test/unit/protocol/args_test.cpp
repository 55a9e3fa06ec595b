#include "protocol/args.h"

#include <array>
#include <catch2/catch.hpp>

#include "protocol/error.h"

using cni::Args;
using cni::Code;
using cni::Error;

namespace {

constexpr std::array<std::string_view, 2> kKnown = {"MAC", "IP"};

// The message of the Error 7 that reading and checking `text` throws; "" if it is fine.
std::string refusal_of(std::string_view text) {
  try {
    Args::parse(text).require_known(kKnown);
    return "";
  } catch (const Error& error) {
    CHECK(error.code() == Code::kInvalidConfig);
    return error.what();
  }
}

}  // namespace

TEST_CASE("pairs are found by the exact key, the last one counts", "[protocol]") {
  const Args args = Args::parse("MAC=a;IP=;MAC=b");
  CHECK(args.find("MAC") == "b");
  CHECK(args.find("IP") == "");
  CHECK(args.find("mac") == std::nullopt);
  CHECK(args.find("GATEWAY") == std::nullopt);
}

TEST_CASE("nothing is no arguments", "[protocol]") {
  CHECK(refusal_of("").empty());
  CHECK(Args::parse("").find("") == std::nullopt);
}

TEST_CASE("every piece needs exactly one equals sign", "[protocol]") {
  CHECK(refusal_of("garbage") == "ARGS: invalid pair \"garbage\"");
  CHECK(refusal_of("MAC=a;") == "ARGS: invalid pair \"\"");
  CHECK(refusal_of(";MAC=a") == "ARGS: invalid pair \"\"");
  CHECK(refusal_of("MAC=a;;IP=b") == "ARGS: invalid pair \"\"");
  CHECK(refusal_of(";") == "ARGS: invalid pair \"\"");
  CHECK(refusal_of("MAC=a=b") == "ARGS: invalid pair \"MAC=a=b\"");
  // IgnoreUnknown does not make a pair of what is none.
  CHECK(refusal_of("IgnoreUnknown=1;x") == "ARGS: invalid pair \"x\"");
}

TEST_CASE("unknown keys are listed together", "[protocol]") {
  CHECK(refusal_of("MAC=a;IP=b").empty());
  CHECK(refusal_of("FOO=1;MAC=a;BAR=2") == R"(ARGS: unknown args ["FOO=1" "BAR=2"])");
  CHECK(refusal_of("mac=a") == R"(ARGS: unknown args ["mac=a"])");
  CHECK(refusal_of("ignoreunknown=1") == R"(ARGS: unknown args ["ignoreunknown=1"])");
}

TEST_CASE("IgnoreUnknown is a boolean in any letter case and any place", "[protocol]") {
  for (const char* yes : {"1", "true", "TRUE", "tRue"}) {
    CHECK(refusal_of("FOO=1;IgnoreUnknown=" + std::string(yes)).empty());
    CHECK(refusal_of("IgnoreUnknown=" + std::string(yes) + ";FOO=1").empty());
  }
  for (const char* no : {"0", "false", "False"}) {
    CHECK(refusal_of("FOO=1;IgnoreUnknown=" + std::string(no)) ==
          R"(ARGS: unknown args ["FOO=1"])");
    CHECK(refusal_of("MAC=a;IgnoreUnknown=" + std::string(no)).empty());
  }
  CHECK(refusal_of("FOO=1;IgnoreUnknown=1;IgnoreUnknown=0") == R"(ARGS: unknown args ["FOO=1"])");
  for (const char* neither : {"", "yes", "2", " 1", "true "}) {
    CHECK(refusal_of("IgnoreUnknown=" + std::string(neither)) ==
          "ARGS: error parsing value of pair \"IgnoreUnknown=" + std::string(neither) +
              "\": boolean unmarshal error: invalid input " + neither);
  }
}

TEST_CASE("read leniently, a bad piece spoils no other", "[protocol]") {
  const Args args = Args::parse_leniently(";x;MAC=a;IP=b=c;;K8S_POD_NAME=p;");
  CHECK(args.find("MAC") == "a");
  CHECK(args.find("IP") == std::nullopt);
  CHECK(args.find("K8S_POD_NAME") == "p");
  CHECK(Args::parse_leniently("").find("") == std::nullopt);
}

TEST_CASE("a pod has a namespace and a name", "[protocol]") {
  CHECK(Args::parse("K8S_POD_NAMESPACE=n;K8S_POD_NAME=p").pod() == "n/p");
  CHECK(Args::parse("K8S_POD_NAME=p").pod() == std::nullopt);
  CHECK(Args::parse("K8S_POD_NAMESPACE=n").pod() == std::nullopt);
  CHECK(Args::parse("K8S_POD_NAMESPACE=n;K8S_POD_NAME=").pod() == std::nullopt);
  CHECK(Args::parse("").pod() == std::nullopt);
}
