#include "base/memory_reserve.h"

#include <catch2/catch.hpp>
#include <new>
#include <string>

#include "base/undo.h"
#include "support/child.h"

using cni::test::in_child;
namespace memory_reserve = cni::memory_reserve;

namespace {

bool is_full = false;

// As operator new does when malloc(3) has nothing.
void run_out() {
  std::get_new_handler()();
}

std::string answer_to_running_out() {
  try {
    run_out();
  } catch (const std::bad_alloc&) {
    return "thrown";
  }
  return "given";
}

}  // namespace

// That of the reserve.
void* operator new[](std::size_t size, const std::nothrow_t& /*unused*/) noexcept {
  try {
    return is_full ? nullptr : ::operator new[](size);
  } catch (const std::bad_alloc&) {
    return nullptr;
  }
}

TEST_CASE("without memory for a reserve the first allocation that fails is an error", "[base]") {
  CHECK(in_child([]() -> std::string {
          is_full = true;
          memory_reserve::hold();
          return answer_to_running_out();
        }) == "thrown");
}

TEST_CASE("the first allocation that fails gets the reserve, the second does not", "[base]") {
  CHECK(in_child([]() -> std::string {
          memory_reserve::hold();
          memory_reserve::check();
          const std::string first = answer_to_running_out();
          return first + ", " + answer_to_running_out();
        }) == "given, thrown");
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
