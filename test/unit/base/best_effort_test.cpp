#include "base/best_effort.h"

#include <catch2/catch.hpp>
#include <stdexcept>
#include <vector>

#include "base/error.h"

TEST_CASE("every step runs, whatever became of those before it", "[base]") {
  std::vector<int> ran;
  cni::BestEffort cleanup;
  cleanup.run("do one", [&] { ran.push_back(1); });
  cleanup.run("do two", [&] {
    ran.push_back(2);
    throw std::runtime_error("two failed");
  });
  cleanup.run("do three", [&] { ran.push_back(3); });
  CHECK(ran == std::vector<int>{1, 2, 3});
  CHECK_THROWS(cleanup.finish());
}

TEST_CASE("no failure, nothing thrown", "[base]") {
  cni::BestEffort cleanup;
  cleanup.run("do it", [] {});
  CHECK_NOTHROW(cleanup.finish());
}

TEST_CASE("a single failure keeps its type", "[base]") {
  cni::BestEffort cleanup;
  cleanup.run("release", [] { throw cni::IoError(5, "write x"); });
  CHECK_THROWS_AS(cleanup.finish(), cni::IoError);
  CHECK_NOTHROW(cleanup.finish());
}

TEST_CASE("several failures are told together, the first one can be had", "[base]") {
  cni::BestEffort cleanup;
  cleanup.run("delete the link", [] { throw cni::Busy("link is busy"); });
  cleanup.run("wait", [] {});
  cleanup.run("release the address", [] { throw 7; });
  try {
    cleanup.finish();
    FAIL("nothing was thrown");
  } catch (const cni::SeveralFailures& failures) {
    CHECK(failures.what() == std::string("cannot delete the link: link is busy; "
                                         "cannot release the address: unknown failure"));
    CHECK_THROWS_AS(std::rethrow_exception(failures.first()), cni::Busy);
  }
}
