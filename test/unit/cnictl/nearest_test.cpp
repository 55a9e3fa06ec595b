#include "cnictl/nearest.h"

#include <catch2/catch.hpp>
#include <vector>

using cni::cnictl::edit_distance;
using cni::cnictl::find_nearest;

TEST_CASE("The distance counts single mistakes", "[cnictl]") {
  CHECK(edit_distance("", "") == 0);
  CHECK(edit_distance("", "abc") == 3);
  CHECK(edit_distance("subnet", "subnet") == 0);
  CHECK(edit_distance("subnet", "SubNet") == 0);
  CHECK(edit_distance("subnt", "subnet") == 1);
  CHECK(edit_distance("subnnet", "subnet") == 1);
  CHECK(edit_distance("subnat", "subnet") == 1);
  CHECK(edit_distance("sunbet", "subnet") == 1);
  CHECK(edit_distance("kitten", "sitting") == 3);
}

TEST_CASE("The nearest word is found, and none that is far", "[cnictl]") {
  const std::vector<std::string> keys = {"rangeStart", "rangeEnd", "gateway", "mtu"};
  CHECK(find_nearest("rangeStrat", keys) == "rangeStart");
  CHECK(find_nearest("rangeend", keys) == "rangeEnd");
  CHECK(find_nearest("gatway", keys) == "gateway");
  CHECK(find_nearest("gate", keys) == "gateway");
  CHECK(find_nearest("mut", keys) == "mtu");
  CHECK_FALSE(find_nearest("bandwidth", keys));
  CHECK_FALSE(find_nearest("", keys));
}
