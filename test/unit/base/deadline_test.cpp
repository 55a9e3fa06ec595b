#include "base/deadline.h"

#include <catch2/catch.hpp>
#include <limits>

using namespace std::chrono_literals;

TEST_CASE("a deadline in the future has time left, at most its span", "[base]") {
  const auto deadline = cni::Deadline::in(1h);
  CHECK_FALSE(deadline.passed());
  CHECK(deadline.poll_timeout_ms() <= 3'600'000);
  CHECK(deadline.poll_timeout_ms() > 3'000'000);
}

TEST_CASE("a passed deadline never gives a negative timeout", "[base]") {
  // poll(2) takes a negative timeout for "wait for ever".
  for (const auto span : {0ms, -1ms, -100'000ms}) {
    const auto deadline = cni::Deadline::in(span);
    CHECK(deadline.passed());
    CHECK(deadline.poll_timeout_ms() == 0);
  }
}

TEST_CASE("a deadline beyond what poll can say waits as long as it can", "[base]") {
  const auto deadline = cni::Deadline::in(24h * 365);
  CHECK(deadline.poll_timeout_ms() == std::numeric_limits<int>::max());
}
