#include "netfilter/element_owner.h"

#include <catch2/catch.hpp>
#include <string>

using namespace cni::netfilter;  // NOLINT(google-build-using-namespace)
using cni::nftables::Element;

namespace {

const Owner kOwner{.network = "net", .container_id = "c1", .ifname = "eth0"};

}  // namespace

TEST_CASE("a mark tells whose an element is, whatever the network is called", "[netfilter]") {
  const Element element{.key = {}, .user_data = owner_mark(kOwner)};
  CHECK(describe_owner(element) == "net/c1/eth0");
  CHECK(is_owned_by(element, kOwner));
  CHECK(is_owned_by(element, {.network = "other", .container_id = "c1", .ifname = "eth0"}));
  CHECK_FALSE(is_owned_by(element, {.network = "net", .container_id = "c2", .ifname = "eth0"}));
  CHECK_FALSE(is_owned_by(element, {.network = "net", .container_id = "c1", .ifname = "eth1"}));
  CHECK_FALSE(is_owned_by({.key = {}}, kOwner));
  CHECK(describe_owner({.key = {}}).empty());
  // A comment alone, which anybody can write, is no mark.
  const Element comment{.key = {}, .user_data = cni::nftables::element_comment("net/c1/eth0")};
  CHECK_FALSE(is_owned_by(comment, kOwner));
  CHECK(describe_owner(comment).empty());
}

TEST_CASE("long and odd names are cut in the comment and count in full", "[netfilter]") {
  Owner owner{.network = "n", .container_id = std::string(254, 'c'), .ifname = "eth0"};
  const Element element{.key = {}, .user_data = owner_mark(owner)};
  CHECK(describe_owner(element) == "n/" + std::string(118, 'c'));
  CHECK(is_owned_by(element, owner));
  owner.container_id.back() = 'd';
  CHECK_FALSE(is_owned_by(element, owner));

  owner.network = std::string(119, 'n') + "\xc3\xa4";  // the cut would split it
  CHECK(describe_owner({.key = {}, .user_data = owner_mark(owner)}) == std::string(119, 'n'));
  owner.network = "\xff";
  CHECK(describe_owner({.key = {}, .user_data = owner_mark(owner)}).starts_with("\xef\xbf\xbd/"));
}
