#include "base/memory_reserve.h"

#include <catch2/catch.hpp>
#include <new>
#include <string>

#include "base/undo.h"
#include "support/child.h"

using cni::test::in_child;
namespace memory_reserve = cni::memory_reserve;

namespace {

// As operator new does when malloc(3) has nothing.
void run_out() {
  std::get_new_handler()();
}

}  // namespace

TEST_CASE("the first allocation that fails gets the reserve, the second does not", "[base]") {
  CHECK(in_child([]() -> std::string {
          memory_reserve::hold();
          memory_reserve::check();
          run_out();
          try {
            run_out();
          } catch (const std::bad_alloc&) {
            return "thrown";
          }
          return "given twice";
        }) == "thrown");
}

TEST_CASE("an ADD without memory goes back, its last step included", "[base]") {
  CHECK(in_child([]() -> std::string {
          memory_reserve::hold();
          std::string done;
          try {
            cni::Undo undo;
            undo.add("first", [&] { done += "first"; });
            run_out();
            undo.add("second", [&] { done += "second "; });
            undo.add("third", [&] { done += "third "; });
          } catch (const std::bad_alloc&) {
            return done;
          }
          return "went on";
        }) == "second first");
}
