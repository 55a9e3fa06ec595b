#include "portmap/chain_names.h"

#include <catch2/catch.hpp>

using namespace cni::portmap;  // NOLINT(google-build-using-namespace)

TEST_CASE("a container's chain has the name that the reference suite gives it", "[portmap]") {
  CHECK(container_chain("test", "cid0001") == "CNI-DN-23559223f6409273321f8");
  CHECK(container_chain("t", "cid0001") == "CNI-DN-8af665c540d062287f2b6");
  CHECK(container_chain("test", "1234") == "CNI-DN-2bbe0c48b91a7d1b8a675");
  CHECK(container_chain("podman", "abc") == "CNI-DN-514f2d63f742a896f7a7f");
  CHECK(container_chain("k8s-pod-network", "0123456789abcdef") == "CNI-DN-afb0649f86460d9ef8a3a");
  CHECK(source_chain("test", "1234") == "CNI-SN-2bbe0c48b91a7d1b8a675");
}

TEST_CASE("the comment of an entry rule tells whose it is", "[portmap]") {
  CHECK(entry_comment("test", "cid0001") == R"(dnat name: "test" id: "cid0001")");
  const auto owner = parse_entry_comment(R"(dnat name: "test" id: "cid0001")");
  REQUIRE(owner);
  CHECK(owner->network == "test");
  CHECK(owner->container_id == "cid0001");
  CHECK_FALSE(parse_entry_comment("something else"));
  CHECK_FALSE(parse_entry_comment(R"(dnat name: "test")"));
  CHECK_FALSE(parse_entry_comment(R"(dnat name: ")"));

  const std::string longest = entry_comment("n", std::string(234, 'x'));
  CHECK(longest.size() == 255);
  CHECK(parse_entry_comment(longest));
  const std::string cut = entry_comment("n", std::string(235, 'x'));
  CHECK(cut.size() == 255);
  CHECK(cut.ends_with("xx.."));
  CHECK_FALSE(parse_entry_comment(cut));
}
