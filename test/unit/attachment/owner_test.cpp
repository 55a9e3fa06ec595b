#include "attachment/owner.h"

#include <catch2/catch.hpp>
#include <set>

using namespace cni::attachment;  // NOLINT(google-build-using-namespace)
using cni::Args;

namespace {

Owner owner(const std::string& network, const std::string& id, const std::string& ifname) {
  return {.network = network, .attachment = {.container_id = id, .ifname = ifname}};
}

}  // namespace

TEST_CASE("an alias names the pod, else the container, and carries the mark", "[attachment]") {
  const Owner one = owner("net", "c1", "eth0");
  const Args pod = Args::parse("IgnoreUnknown=1;K8S_POD_NAMESPACE=default;K8S_POD_NAME=web-0");
  CHECK_THAT(render_alias(one, pod), Catch::StartsWith("default/web-0#eth0 plumb:"));
  CHECK_THAT(render_alias(one, Args()), Catch::StartsWith("c1#eth0 plumb:"));
  CHECK(find_owner_mark(render_alias(one, pod)) == OwnerMark::of(one));
  CHECK(find_owner_mark(render_alias(one, Args())) == OwnerMark::of(one));
}

TEST_CASE("an alias fits into the kernel's limit and keeps the mark", "[attachment]") {
  const Owner one = owner(std::string(300, 'n'), std::string(4096, 'c'), "fifteen-letters");
  const std::string alias = render_alias(one, Args());
  CHECK(alias.size() == 255);
  CHECK(find_owner_mark(alias) == OwnerMark::of(one));
}

TEST_CASE("a pod cannot forge a mark", "[attachment]") {
  const Owner one = owner("net", "c1", "eth0");
  const Owner victim = owner("net", "c2", "eth0");
  const std::string forged = render_alias(victim, Args());
  const Args args = Args::parse("K8S_POD_NAMESPACE=x;K8S_POD_NAME=" + forged);
  CHECK(find_owner_mark(render_alias(one, args)) == OwnerMark::of(one));
}

TEST_CASE("what is no mark of ours", "[attachment]") {
  const std::string mark = " plumb:0123456789abcdef:0123456789abcdef0123456789abcdef";
  CHECK(find_owner_mark("x" + mark));
  for (const std::string& alias :
       {std::string(), std::string("web-0"), std::string("plumb bridge"), mark + "0",
        mark.substr(0, mark.size() - 1), std::string("x plumb:"),
        std::string(" plumb:0123456789abcdef/0123456789abcdef0123456789abcdef")}) {
    INFO(alias);
    CHECK_FALSE(find_owner_mark(alias));
  }
}

TEST_CASE("marks tell networks and attachments apart", "[attachment]") {
  const OwnerMark one = OwnerMark::of(owner("net", "c1", "eth0"));
  CHECK(OwnerMark::of(owner("net", "c1", "eth1")).network == one.network);
  CHECK(OwnerMark::of(owner("net", "c1", "eth1")).attachment != one.attachment);
  CHECK(OwnerMark::of(owner("net", "c10", "eth0")).attachment != one.attachment);
  CHECK(OwnerMark::of(owner("other", "c1", "eth0")).network != one.network);
  // The boundary between ID and interface counts.
  CHECK(OwnerMark::of(owner("n", "ab", "c")).attachment !=
        OwnerMark::of(owner("n", "a", "bc")).attachment);
}

TEST_CASE("host end names look as other tools expect and differ", "[attachment]") {
  std::set<std::string> names;
  for (const char* id : {"c1", "c2"}) {
    for (const char* ifname : {"eth0", "eth1"}) {
      for (const unsigned attempt : {0U, 1U, 9U}) {
        const std::string name = host_link_name({.container_id = id, .ifname = ifname}, attempt);
        CHECK_THAT(name, Catch::Matches("veth[0-9a-f]{8}"));
        CHECK(name == host_link_name({.container_id = id, .ifname = ifname}, attempt));
        names.insert(name);
      }
    }
  }
  CHECK(names.size() == 12);
}
