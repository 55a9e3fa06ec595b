// An ADD of veth that fails for a reason of its own.
#include <catch2/catch.hpp>

#include "plugin/failed_add.h"
#include "plugin/veth_network.h"

using namespace cni::test;  // NOLINT(google-build-using-namespace)

namespace {

std::vector<Failure> failures() {
  return {
      {"no IPAM", 7, "no plugin name provided", kNotAsked,
       [](Network& net, const Attached&) { net.config.erase("ipam"); }},
      {"no IPAM type", 7, "no plugin name provided", kNotAsked,
       [](Network& net, const Attached&) { net.config["ipam"].erase("type"); }},
      {"the gateway is of the other family", 999,
       "address 10.1.2.5/24 with the gateway fd00::1, which is of the other family", kUndone,
       ipam_gives({{"ips", {{{"address", "10.1.2.5/24"}, {"gateway", "fd00::1"}}}}})},
      {"the address is its own gateway", 999,
       "address 10.1.2.5/24 with the gateway 10.1.2.5, which is the address itself", kUndone,
       ipam_gives({{"ips", {{{"address", "10.1.2.5/24"}, {"gateway", "10.1.2.5"}}}}})},
      {"another container of this host has the IPv4 address", 999,
       "address 10.1.2.5 of the container is in use on this host: \"other\" (its alias) has a "
       "route "
       "to it already",
       kUndone,
       [](Network& net, const Attached&) {
         net.host.run("ip link add other type veth peer name far");
         run_checked({.argv = {"ip", "link", "set", "other", "alias", "its alias"},
                      .netns = net.host.path()});
         net.host.run("ip link set other up");
         net.host.run("ip route add 10.1.2.5 dev other");
       }},
      {"another container of this host has the IPv6 address", 999,
       "address fd00:1:2::5 of the container is in use on this host: \"other\" has a route",
       kUndone,
       [](Network& net, const Attached&) {
         net.host.run("ip link add other type veth peer name far");
         net.host.run("ip link set other up addrgenmode none");
         net.host.run("ip -6 route add fd00:1:2::5 dev other");
       }},
      {"an address is there twice", 999, "IPAM gave the address 10.1.2.5 twice", kUndone,
       ipam_gives({{"ips",
                    {{{"address", "10.1.2.5/24"}, {"gateway", "10.1.2.1"}},
                     {{"address", "10.1.2.5/24"}, {"gateway", "10.1.2.1"}}}}})},
  };
}

}  // namespace

TEST_CASE("a failed ADD of veth changes nothing", "[veth][rollback][ipv6]") {
  const auto all = failures();
  const std::size_t number = GENERATE_COPY(range(std::size_t{0}, all.size()));
  VethNetwork net;
  check_undone(all.at(number), net, false);
}
