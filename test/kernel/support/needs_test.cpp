#include "support/needs.h"

#include <catch2/catch.hpp>
#include <cstdlib>

#include "support/sandbox.h"

using cni::test::find_lacks;

TEST_CASE("a need that cannot be met is named with its reason", "[support]") {
  const auto lacks = find_lacks({"impossible", "support"});
  REQUIRE(lacks.size() == 1);
  CHECK(lacks.at("impossible") == "is not there");
}

TEST_CASE("veth is there: without it no test would mean anything", "[support]") {
  CHECK(find_lacks({"veth"}).empty());
}

// Runs this very binary on a case that can never run.
TEST_CASE("a skipped case is listed, counted and never a pass", "[support]") {
  using cni::test::Environment;
  using cni::test::run;
  Environment environment = cni::test::plain_environment();
  const std::vector<std::string> argv = {"/proc/self/exe", "never runs"};
  const auto start = [&] {
    // /proc/self/exe is the test binary until execve(2) is done.
    return run({.argv = argv, .environment = environment});
  };
  const auto skipped = start();
  INFO(skipped.text());
  CHECK(skipped.status == 77);
  CHECK(skipped.out.find("skipped: never runs: [impossible] is not there") != std::string::npos);
  CHECK(skipped.out.find(": 0 passed, 0 failed, 1 skipped\n") != std::string::npos);

  environment["CNI_TEST_REQUIRE"] = "all";
  const auto required = start();
  INFO(required.text());
  CHECK(required.status == 1);
  CHECK(required.out.find(": 0 passed, 1 failed, 0 skipped\n") != std::string::npos);
}

TEST_CASE("never runs", "[.][impossible]") {
  FAIL("this case has a need that nothing meets");
}
