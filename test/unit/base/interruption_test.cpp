#include "base/interruption.h"

#include <poll.h>

#include <catch2/catch.hpp>
#include <csignal>

#include "base/undo.h"
#include "support/child.h"

using cni::Interrupted;
using cni::Undo;
using cni::test::in_child;
namespace interruption = cni::interruption;

namespace {

bool readable(int fd) {
  pollfd waited{.fd = fd, .events = POLLIN, .revents = 0};
  return ::poll(&waited, 1, 0) == 1;
}

}  // namespace

TEST_CASE("a signal asks to stop once somebody listens", "[interruption]") {
  const int number = GENERATE(SIGTERM, SIGINT);
  CHECK(in_child([&]() -> std::string {
          interruption::check();
          interruption::listen();
          if (interruption::requested() || readable(interruption::fd())) return "too early";
          ::raise(number);
          if (!interruption::requested() || !readable(interruption::fd())) return "not noted";
          interruption::check();
          return "not thrown";
        }) == (number == SIGTERM ? "interrupted by SIGTERM" : "interrupted by SIGINT"));
}

TEST_CASE("a shield keeps clean-up from being interrupted", "[interruption]") {
  CHECK(in_child([]() -> std::string {
          interruption::listen();
          ::raise(SIGTERM);
          {
            const interruption::Shield outer;
            const interruption::Shield inner;
            if (interruption::requested() || interruption::fd() != -1) return "not shielded";
          }
          return interruption::requested() ? "asked again" : "forgotten";
        }) == "asked again");
}

TEST_CASE("an interrupted ADD goes back, its last step included", "[interruption]") {
  CHECK(in_child([]() -> std::string {
          interruption::listen();
          std::string done;
          try {
            Undo undo;
            undo.add("first", [&] { done += "first"; });
            ::raise(SIGTERM);
            undo.add("second", [&] {
              interruption::check();
              done += "second ";
            });
            done += "went on ";
          } catch (const Interrupted&) {
            return done;
          }
          return "not interrupted";
        }) == "second first");
}
