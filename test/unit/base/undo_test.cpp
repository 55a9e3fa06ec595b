#include "base/undo.h"

#include <catch2/catch.hpp>
#include <stdexcept>
#include <string>
#include <vector>

TEST_CASE("what is not committed is undone, last step first", "[base]") {
  std::vector<int> undone;
  {
    cni::Undo undo;
    undo.add("undo one", [&] { undone.push_back(1); });
    undo.add("undo two", [&] { undone.push_back(2); });
    CHECK(undone.empty());
  }
  CHECK(undone == std::vector<int>{2, 1});
}

TEST_CASE("what is committed stays", "[base]") {
  bool undone = false;
  {
    cni::Undo undo;
    undo.add("undo it", [&] { undone = true; });
    undo.commit();
  }
  CHECK_FALSE(undone);
}

TEST_CASE("an undo that fails does not stop those before it", "[base]") {
  std::vector<int> undone;
  cni::Undo undo;
  undo.add("undo one", [&] { undone.push_back(1); });
  undo.add("undo two", [] { throw std::runtime_error("no"); });
  undo.add("undo three", [] { throw 3; });
  undo.roll_back();
  CHECK(undone == std::vector<int>{1});
}

TEST_CASE("rolling back twice undoes once", "[base]") {
  int count = 0;
  {
    cni::Undo undo;
    undo.add("count", [&] { ++count; });
    undo.roll_back();
    undo.roll_back();
    CHECK(count == 1);
    undo.add("count again", [&] { ++count; });
  }
  CHECK(count == 2);
}

TEST_CASE("an exception on its way up undoes", "[base]") {
  bool undone = false;
  const auto add = [&] {
    cni::Undo undo;
    undo.add("undo it", [&] { undone = true; });
    throw std::runtime_error("later step");
  };
  CHECK_THROWS_WITH(add(), "later step");
  CHECK(undone);
}

TEST_CASE("an undo step may add another one", "[base]") {
  std::vector<int> undone;
  {
    cni::Undo undo;
    undo.add("undo one", [&] {
      undone.push_back(1);
      undo.add("undo two", [&] { undone.push_back(2); });
    });
  }
  CHECK(undone == std::vector<int>{1, 2});
}
